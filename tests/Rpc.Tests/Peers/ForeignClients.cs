using System.Collections.Concurrent;
using Distributed.Rpc.Tests.Hosting;

namespace Distributed.Rpc.Tests.Peers;

/// <summary>The clients of other implementations: each runs all of its cases once, against one server, when a test first asks for an outcome.</summary>
public sealed class ForeignClients : IAsyncLifetime
{
    private readonly string _folder = Directory.CreateTempSubdirectory("rpc-").FullName;
    private readonly ConcurrentDictionary<string, Lazy<Task<Dictionary<string, string>>>> _outcomes = new();

    public ValueTask InitializeAsync() => default;

    public ValueTask DisposeAsync()
    {
        Directory.Delete(_folder, recursive: true);
        return default;
    }

    /// <summary>"ok", or what went wrong in this case of this peer's client.</summary>
    internal async Task<string> OutcomeAsync(string peer, string name)
    {
        var outcomes = await _outcomes.GetOrAdd(peer, peer => new(() => RunAsync(Peer.Named(peer)))).Value;
        return outcomes.GetValueOrDefault(name, $"the client ended before this case: {outcomes[""]}");
    }

    private async Task<Dictionary<string, string>> RunAsync(Peer peer)
    {
        await using var host = await RpcHost.StartAsync(peer.Transport);
        var connect = host.Address.SocketPath is { } socket ? $"unix:{socket}" : $"{host.Address.Uri.IdnHost}:{host.Address.Uri.Port}";
        var settings = PeerSettings.In(_folder) with { Connect = connect, Cases = peer.ClientCases };
        await using var client = new PeerProcess(peer, peer.ClientScript, settings);
        var outcomes = new Dictionary<string, string>(StringComparer.Ordinal);
        while (await client.ReadLineAsync() is { } line)
        {
            var parts = line.Split('\t', 2);
            outcomes[parts[0]] = parts[^1];
        }

        outcomes[""] = client.Errors;
        Assert.Empty(host.Log.Errors);
        return outcomes;
    }
}
