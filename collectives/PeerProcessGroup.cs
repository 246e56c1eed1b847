using Distributed.Collectives.Algorithms;
using Distributed.Collectives.Transports;
using Distributed.Collectives.Transports.SharedMemory;
using Distributed.Protos;

namespace Distributed.Collectives;

/// <summary>
/// A group whose ranks exchange messages over one <see cref="PeerTransport"/> a pair: it checks arguments, keeps time, and hands the
/// operation to its algorithm.
/// </summary>
internal sealed partial class PeerProcessGroup : ProcessGroup
{
    // How long a failing or leaving rank waits for its peers to hear of it. They answer from a reader that is always running, so this
    // ends in a round trip unless a peer is frozen.
    private static readonly TimeSpan FarewellLimit = TimeSpan.FromMilliseconds(500);

    private readonly RunningOperation _operation;
    private readonly GroupFailure _failure;
    private readonly PeerTransport[] _transports;
    private readonly PeerMesh _mesh;
    private readonly ReductionTree _tree;
    private readonly HostMap? _hosts; // where they are more than one
    private readonly HierarchicalAllReduce? _hierarchical;
    private readonly WireFormat _wire;
    private readonly CollectiveMetrics _metrics;
    private readonly Func<long> _sentByteCount;
    private readonly IDisposable? _connections;
    private readonly PeerProcessGroup? _parent;
    private bool _isDisposed;

    /// <summary>Takes over the transports, and what they rest on.</summary>
    /// <param name="operation">The rank's clock, which the transports share.</param>
    /// <param name="failure">The rank's failure, which the transports share.</param>
    /// <param name="transports">To every other rank, in any order.</param>
    /// <param name="transportDescription">For the user.</param>
    /// <param name="hosts">Where the ranks are, if they are on more than one host.</param>
    /// <param name="wire">How sums travel between hosts; the same on every rank.</param>
    /// <param name="board">What this rank's peers of its host read, if it has one.</param>
    /// <param name="connections">What the transports rest on; disposed after them.</param>
    public PeerProcessGroup(
        RunningOperation operation,
        GroupFailure failure,
        PeerTransport[] transports,
        string transportDescription,
        HostMap? hosts = null,
        WireFormat wire = WireFormat.Exact,
        PayloadBoard? board = null,
        IDisposable? connections = null)
    {
        _operation = operation;
        _failure = failure;
        _transports = transports;
        _connections = connections;
        TransportDescription = transportDescription;

        var links = new PeerLink?[transports.Length + 1];
        foreach (var transport in transports)
        {
            links[transport.PeerRank] = new PeerLink(transport, operation, failure);
        }

        _mesh = new PeerMesh(operation.Rank, links, board);
        _tree = new ReductionTree(_mesh);
        _hosts = hosts;
        _wire = wire;
        _hierarchical = hosts is null ? null : new HierarchicalAllReduce(_mesh, _tree, hosts);
        _metrics = new CollectiveMetrics(operation.Rank, transports);
        _sentByteCount = () => _mesh.SentByteCount;
        failure.Attach(TellPeersAsync);
    }

    // The ranks of a subgroup, over the connections of the whole.
    private PeerProcessGroup(PeerProcessGroup parent, PeerMesh mesh, HostMap? hosts)
    {
        _parent = parent._parent ?? parent;
        _operation = parent._operation;
        _failure = parent._failure;
        _transports = [];
        _metrics = parent._metrics;
        _sentByteCount = parent._sentByteCount;
        _mesh = mesh;
        _tree = new ReductionTree(mesh);
        _hosts = hosts;
        _wire = parent._wire;
        _hierarchical = hosts is null ? null : new HierarchicalAllReduce(mesh, _tree, hosts);
        TransportDescription = parent.TransportDescription;
        _operation.TellSubgroup();
    }

    /// <inheritdoc/>
    public override int Rank => _mesh.Rank;

    /// <inheritdoc/>
    public override int WorldSize => _mesh.WorldSize;

    /// <inheritdoc/>
    public override string TransportDescription { get; }

    /// <summary>The connections to the other ranks.</summary>
    public IReadOnlyList<PeerTransport> Transports => _transports;

    /// <inheritdoc/>
    public override GroupStatistics Statistics
    {
        get
        {
            var whole = _parent ?? this;
            var waited = new TimeSpan[whole.WorldSize];
            Array.ForEach(whole._transports, transport => waited[transport.PeerRank] = transport.Waited);
            return new GroupStatistics(_operation.Totals(), whole._mesh.SentByteCount, waited);
        }
    }

    /// <inheritdoc/>
    public override (int Rank, TimeSpan Time) LongestSilence
    {
        get
        {
            var longest = (_operation.Rank, Time: TimeSpan.Zero);
            foreach (var transport in (_parent ?? this)._transports)
            {
                longest = transport.Silence is var silence && silence > longest.Time ? (transport.PeerRank, silence) : longest;
            }

            return longest;
        }
    }

    /// <inheritdoc/>
    public override CancellationToken Aborted => _failure.Aborted;

    /// <inheritdoc/>
    public override void Abort(string cause)
    {
        _failure.Request(cause);
        _failure.WaitUntilTold();
    }

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        if (disposing && !_isDisposed && _parent is not null)
        {
            _isDisposed = true; // the connections are the whole group's
        }
        else if (disposing && !_isDisposed)
        {
            _isDisposed = true;
            if (_failure.First is null)
            {
                Task.WhenAll(_transports.Select(transport => transport.LeaveAsync())).Wait(FarewellLimit);
            }
            else
            {
                _failure.WaitUntilTold();
            }

            foreach (var transport in _transports)
            {
                transport.Dispose();
            }

            _connections?.Dispose();
            _operation.Dispose(); // the owner's thread is in none
        }

        base.Dispose(disposing);
    }

    private Task TellPeersAsync(FirstCause cause)
    {
        foreach (var transport in _transports)
        {
            transport.Wake();
        }

        return Task.WhenAll(_transports.Select(transport => transport.TellAsync(cause))).WaitAsync(FarewellLimit);
    }

    private Running Begin(string name, Operation operation, CollectiveOptions options, long byteCount, OperationDetail detail = default)
    {
        ObjectDisposedException.ThrowIf(_isDisposed || _parent is { _isDisposed: true }, this);
        _operation.Begin(name, operation, options, byteCount, detail);
        _metrics.Begin(_sentByteCount);
        var running = new Running(this, name, byteCount);
        try
        {
            _failure.ThrowIfFailed();
            return running;
        }
        catch (CollectiveException)
        {
            running.Dispose();
            throw;
        }
    }

    private readonly ref struct Running(PeerProcessGroup group, string name, long byteCount)
    {
        public void Dispose()
        {
            var elapsed = group._operation.End();
            group._metrics.End(name, byteCount, elapsed, group._sentByteCount, group._failure.First?.Kind);
        }
    }
}
