using System.Security.Cryptography;
using Distributed.Collectives;
using Distributed.Launcher.CommandLine;
using Distributed.Launcher.Jobs;

namespace Distributed.Launcher.Rendezvous;

/// <summary>A round that this node is in.</summary>
/// <param name="State">Who is in it.</param>
/// <param name="Placement">Where this node's ranks stand.</param>
/// <param name="Identity">What the ranks share.</param>
/// <param name="Store">Where the ranks of all nodes meet.</param>
internal sealed record NodeRound(RendezvousState State, RankPlacement Placement, JobIdentity Identity, RendezvousStore Store)
{
    public int Number => State.Round;
}

/// <summary>What the launcher of one node brings to the meeting.</summary>
internal sealed record NodeSelf
{
    /// <summary>The machine's name.</summary>
    public required string Host { get; init; }

    /// <summary>Ranks on this node.</summary>
    public required int LocalWorldSize { get; init; }

    /// <summary>Of the ranks.</summary>
    public required string Role { get; init; }

    /// <summary>Of the run.</summary>
    public required string RunId { get; init; }

    /// <summary>Of the run.</summary>
    public required int MaxRestarts { get; init; }

    /// <summary>Whether the ranks trust each other because of what the nodes share.</summary>
    public required bool NeedsSecret { get; init; }

    /// <summary>MASTER_ADDR and MASTER_PORT where the user has fixed them; else the first node of a round brings them.</summary>
    public (string Address, int Port)? Master { get; init; }
}

/// <summary>This node among the nodes of a run, from its first contact with their store to its last.</summary>
internal sealed class NodeSession : IAsyncDisposable
{
    private const int IdByteCount = 8;

    private readonly NodeSelf _self;
    private readonly int? _nodeRank;
    private readonly JobKey _key;
    private readonly RunStore _store;
    private readonly Action<string> _tell;

    private NodeSession(NodeSelf self, int? nodeRank, JobKey key, RunStore store, NodeRendezvous rendezvous, string id, Action<string> tell)
    {
        _self = self;
        _nodeRank = nodeRank;
        _key = key;
        _store = store;
        _tell = tell;
        Rendezvous = rendezvous;
        Id = id;
    }

    /// <summary>This node's id in the rendezvous.</summary>
    public string Id { get; }

    /// <summary>This node's part in the rounds.</summary>
    public NodeRendezvous Rendezvous { get; }

    /// <summary>Whether the other nodes need this one until they are done.</summary>
    public bool ServesStore => _store.IsServedHere;

    /// <summary>Finds the store of the run.</summary>
    /// <param name="options">Which nodes, and where they meet.</param>
    /// <param name="self">This node.</param>
    /// <param name="secretFile">From the environment; <see langword="null"/> for none.</param>
    /// <param name="tell">Told what takes long, and what is to be known.</param>
    /// <param name="cancellationToken">Ends the attempt.</param>
    /// <exception cref="RendezvousException">It cannot be had.</exception>
    public static async Task<NodeSession> OpenAsync(
        NodeOptions options, NodeSelf self, string? secretFile, Action<string> tell, CancellationToken cancellationToken)
    {
        var settings = new RendezvousSettings(options.Configuration);
        var key = JobKey.Load(settings.SecretFile ?? secretFile, self.RunId);
        if (self.NeedsSecret && !key.IsSecret && !settings.AllowsUnauthenticated)
        {
            throw new RendezvousClosedException(
                $"The bundled worker's ranks trust only those who know the job's secret, which its nodes have to share; name a file that all have with "
                + $"--rdzv-conf {JobKey.Setting}=FILE or {JobKey.Variable} (or say --rdzv-conf {RunStoreOptions.UnauthenticatedSetting}=true).");
        }

        var limits = settings.Limits;
        var nodeRank = options.NodeRank ?? settings.NodeRank ?? (options.Backend == RendezvousBackend.Static ? 0 : null);
        var place = new RunStoreOptions
        {
            Host = options.EndpointHost,
            Port = PortOf(options),
            IsHost = options.Backend == RendezvousBackend.Static ? nodeRank == 0 : settings.IsHost,
            LocalAddress = options.LocalAddress,
            AllowsUnauthenticated = settings.AllowsUnauthenticated,
        };
        var store = options.Backend == RendezvousBackend.Etcd
            ? await RunStore.OpenEtcdAsync(settings.Etcd(options), options.LocalAddress, self.RunId, cancellationToken)
            : await RunStore.OpenAsync(place, key, self.RunId, limits.JoinTimeout, tell, cancellationToken);
        var id = Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(IdByteCount));
        var begin = RendezvousDocument.Begin(options.MinNodes, options.MaxNodes, self.MaxRestarts);
        return new NodeSession(self, nodeRank, key, store, new NodeRendezvous(store.Store, begin, id, limits), id, tell);
    }

    /// <summary>Takes part in the next round.</summary>
    /// <param name="masterPort">A port for the ranks' own use, if this node turns out to be the first.</param>
    /// <param name="afterRound">The round that this node has left; -1 for none.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <inheritdoc cref="NodeRendezvous.JoinAsync" path="/exception"/>
    public async Task<NodeRound> JoinAsync(int masterPort, int afterRound, CancellationToken cancellationToken)
    {
        var node = new NodeEntry
        {
            Id = Id,
            Host = _self.Host,
            DeclaredRank = _nodeRank,
            LocalWorldSize = _self.LocalWorldSize,
            Role = _self.Role,
            Address = _self.Master?.Address ?? _store.OwnAddress,
            MasterPort = _self.Master?.Port ?? masterPort,
        };
        var state = await Rendezvous.JoinAsync(node, afterRound, _tell, cancellationToken);
        return new NodeRound(
            state,
            NodePlacement.Of(state, Id),
            _key.ForRanks(state.Nonce, state.Round),
            new PrefixStore(_store.Store, FormattableString.Invariant($"ranks/{state.Round}/")));
    }

    /// <summary>The node's last word, when all nodes have left: nothing is kept of a run that is over.</summary>
    public Task EraseAsync() => _store.EraseAsync();

    public async ValueTask DisposeAsync()
    {
        await Rendezvous.DisposeAsync();
        await _store.DisposeAsync();
    }

    /// <summary>
    /// With the static backend the port that the user named belongs to the ranks, as MASTER_PORT; the launchers meet on the one after it.
    /// </summary>
    private static int PortOf(NodeOptions options)
        => options.Backend != RendezvousBackend.Static ? options.EndpointPort
            : options.EndpointPort < System.Net.IPEndPoint.MaxPort ? options.EndpointPort + 1
            : options.EndpointPort - 1;
}
