namespace Distributed.Rpc.Tests.Peers;

/// <summary>The clients of other implementations against this project's server.</summary>
public sealed class ForeignClientTests(ForeignClients clients) : IClassFixture<ForeignClients>
{
    [Theory]
    [PeerCases("grpc-js", ItsClient = true)]
    [PeerCases("python3-grpcio", ItsClient = true)]
    [PeerCases("ruby-grpc", ItsClient = true)]
    public async Task Case_OfItsClient_Passes(string peer, string name)
    {
        var outcome = await clients.OutcomeAsync(peer, name);

        Assert.True(outcome == "ok", outcome);
    }
}
