using Distributed.Collectives.Algorithms;
using Distributed.Collectives.Transports;
using Distributed.Protos;

namespace Distributed.Collectives;

/// <summary>
/// A group whose ranks exchange messages over one <see cref="PeerTransport"/> a pair: it checks arguments, keeps time, and hands the
/// operation to its algorithm.
/// </summary>
internal sealed class PeerProcessGroup : ProcessGroup
{
    // How long a failing or leaving rank waits for its peers to hear of it. They answer from a reader that is always running, so this
    // ends in a round trip unless a peer is frozen.
    private static readonly TimeSpan FarewellLimit = TimeSpan.FromMilliseconds(500);

    private readonly RunningOperation _operation;
    private readonly GroupFailure _failure;
    private readonly PeerTransport[] _transports;
    private readonly PeerMesh _mesh;
    private readonly OneShotAllReduce _allReduce;
    private readonly IDisposable? _connections;
    private bool _isDisposed;

    /// <summary>Takes over the transports, and what they rest on.</summary>
    /// <param name="operation">The rank's clock, which the transports share.</param>
    /// <param name="failure">The rank's failure, which the transports share.</param>
    /// <param name="transports">To every other rank, in any order.</param>
    /// <param name="transportDescription">For the user.</param>
    /// <param name="connections">What the transports rest on; disposed after them.</param>
    public PeerProcessGroup(
        RunningOperation operation, GroupFailure failure, PeerTransport[] transports, string transportDescription, IDisposable? connections = null)
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

        _mesh = new PeerMesh(operation.Rank, links);
        _allReduce = new OneShotAllReduce(_mesh);
        failure.Attach(TellPeersAsync);
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
    public override CancellationToken Aborted => _failure.Aborted;

    /// <inheritdoc/>
    public override void AllReduce(Span<float> values, CollectiveOptions options = default)
    {
        using var running = Begin(nameof(AllReduce), Operation.AllReduce, options);
        _allReduce.Run(values);
    }

    /// <inheritdoc/>
    public override void AllGather(ReadOnlySpan<byte> part, Span<byte> all, CollectiveOptions options = default)
    {
        ThrowIfWrongLength(part, all);
        using var running = Begin(nameof(AllGather), Operation.AllGather, options);
        DirectAllGather.Run(_mesh, part, all);
    }

    /// <inheritdoc/>
    public override void Gather(ReadOnlySpan<byte> part, Span<byte> all, int root, CollectiveOptions options = default)
    {
        ThrowIfNotRank(root, nameof(root));
        if (root == Rank)
        {
            ThrowIfWrongLength(part, all);
        }

        using var running = Begin(nameof(Gather), Operation.Gather, options);
        DirectGather.Run(_mesh, part, all, root);
    }

    /// <inheritdoc/>
    public override void Broadcast(Span<byte> values, int root, CollectiveOptions options = default)
    {
        ThrowIfNotRank(root, nameof(root));
        using var running = Begin(nameof(Broadcast), Operation.Broadcast, options);
        DirectBroadcast.Run(_mesh, values, root);
    }

    /// <inheritdoc/>
    public override void Barrier(CollectiveOptions options = default)
    {
        using var running = Begin(nameof(Barrier), Operation.Barrier, options);
        DirectBarrier.Run(_mesh);
    }

    /// <inheritdoc/>
    public override void Send(ReadOnlySpan<byte> values, int peer, CollectiveOptions options = default)
    {
        ThrowIfNotPeer(peer);
        using var running = Begin(nameof(Send), Operation.Send, options);
        PointToPoint.Send(_mesh[peer], values);
    }

    /// <inheritdoc/>
    public override void Receive(Span<byte> values, int peer, CollectiveOptions options = default)
    {
        ThrowIfNotPeer(peer);
        using var running = Begin(nameof(Receive), Operation.Send, options);
        PointToPoint.Receive(_mesh[peer], values);
    }

    /// <inheritdoc/>
    public override void Abort(string cause)
    {
        _failure.Request(cause);
        _failure.WaitUntilTold();
    }

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        if (disposing && !_isDisposed)
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

    private Running Begin(string name, Operation operation, CollectiveOptions options)
    {
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        _operation.Begin(name, operation, options);
        var running = new Running(_operation);
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

    private void ThrowIfWrongLength(ReadOnlySpan<byte> part, Span<byte> all)
    {
        if (all.Length != (long)part.Length * WorldSize)
        {
            throw new ArgumentException(
                $"The result has {all.Length} bytes; {WorldSize} ranks with a part of {part.Length} need {(long)part.Length * WorldSize}.", nameof(all));
        }

        if (part.Overlaps(all))
        {
            throw new ArgumentException("The part lies inside the result; pass a copy of it.", nameof(part));
        }
    }

    private void ThrowIfNotRank(int rank, string name)
    {
        if (rank < 0 || rank >= WorldSize)
        {
            throw new ArgumentOutOfRangeException(name, rank, $"The ranks of this group are 0 to {WorldSize - 1}.");
        }
    }

    private void ThrowIfNotPeer(int peer)
    {
        ThrowIfNotRank(peer, nameof(peer));
        if (peer == Rank)
        {
            throw new ArgumentOutOfRangeException(nameof(peer), peer, "A rank does not exchange messages with itself.");
        }
    }

    private readonly ref struct Running(RunningOperation operation)
    {
        public void Dispose() => operation.End();
    }
}
