using System.Collections.Concurrent;
using Distributed.Rpc.Tests.Hosting;
using Grpc.Net.Client;

namespace Distributed.Rpc.Tests.Peers;

/// <summary>The servers of other implementations, each started when a test first asks for it.</summary>
public sealed class ForeignServers : IAsyncLifetime
{
    private readonly string _folder = Directory.CreateTempSubdirectory("rpc-").FullName;
    private readonly ConcurrentDictionary<string, Lazy<Task<RunningServer>>> _servers = new();

    public ValueTask InitializeAsync() => default;

    public async ValueTask DisposeAsync()
    {
        foreach (var starting in _servers.Values.Where(server => server.Value.IsCompletedSuccessfully))
        {
            var server = await starting.Value;
            server.Channel.Dispose();
            await server.Process.DisposeAsync();
            server.Address.Dispose();
        }

        Directory.Delete(_folder, recursive: true);
    }

    /// <summary>A channel to the server of this peer.</summary>
    internal async Task<GrpcChannel> ChannelToAsync(string peer)
        => (await _servers.GetOrAdd(peer, name => new(() => StartAsync(Peer.Named(name)))).Value).Channel;

    private async Task<RunningServer> StartAsync(Peer peer)
    {
        var socket = ServerAddress.NewSocketPath();
        var listen = peer.Transport == Transport.UnixSocket ? $"unix:{socket}" : "127.0.0.1:0";
        var process = new PeerProcess(peer, peer.ServerScript, PeerSettings.In(_folder) with { Listen = listen });
        var port = await process.ReadLineAsync();
        if (port is null)
        {
            await process.DisposeAsync();
            throw new InvalidOperationException($"The server of {peer.Name} ended: {process.Errors}");
        }

        var address = peer.Transport switch
        {
            Transport.UnixSocket => ServerAddress.OfUnixSocket(socket),
            Transport.Tcp => new ServerAddress(new Uri($"http://127.0.0.1:{port}")),
            _ => new ServerAddress(new Uri($"https://127.0.0.1:{port}")),
        };
        return new RunningServer(process, address, address.CreateChannel());
    }

    private sealed record RunningServer(PeerProcess Process, ServerAddress Address, GrpcChannel Channel);
}
