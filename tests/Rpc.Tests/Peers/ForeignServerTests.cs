namespace Distributed.Rpc.Tests.Peers;

/// <summary>This project's client against the servers of other implementations.</summary>
public sealed class ForeignServerTests(ForeignServers servers) : IClassFixture<ForeignServers>
{
    [Theory]
    [PeerCases("grpc-js")]
    [PeerCases("python3-grpcio")]
    [PeerCases("ruby-grpc")]
    public async Task Case_AgainstItsServer_Passes(string peer, string name)
        => await new InteropCases(await servers.ChannelToAsync(peer)).RunAsync(name);
}
