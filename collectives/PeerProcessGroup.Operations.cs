using Distributed.Collectives.Algorithms;
using Distributed.Collectives.Transports;
using Distributed.Protos;

namespace Distributed.Collectives;

/// <content>The operations: what their arguments have to be, and which algorithm does them.</content>
internal sealed partial class PeerProcessGroup
{
    // By how much a rank waits longer for rank 0's verdict on a monitored barrier than rank 0 waits for the ranks.
    private static readonly TimeSpan VerdictGrace = TimeSpan.FromSeconds(5);

    /// <inheritdoc/>
    public override void AllReduce(Span<byte> values, DataType type, ReduceOperation operation, CollectiveOptions options = default)
    {
        var reduction = new Reduction(type, operation);
        Arguments.ThrowIfNotElements(values.Length, reduction);
        var wire = _hierarchical is not null && reduction is { Type: DataType.Float32, Operation: ReduceOperation.Sum } ? _wire : WireFormat.Exact;
        using var running = Begin(nameof(AllReduce), Operation.AllReduce, options, byteCount: values.Length, OperationDetail.Of(reduction, wire));
        if (WorldSize == 1)
        {
            return;
        }

        if (_hierarchical is { } hierarchical && (wire != WireFormat.Exact || hierarchical.IsWorthwhile))
        {
            hierarchical.Run(values, reduction, wire);
        }
        else if (WorldSize == 2 || values.Length < ChunkedAllReduce.MinByteCount)
        {
            OneShotAllReduce.Run(_mesh, _tree, values, reduction);
        }
        else
        {
            ChunkedAllReduce.Run(_mesh, _tree, values, reduction);
        }
    }

    /// <inheritdoc/>
    public override void Reduce(Span<byte> values, DataType type, ReduceOperation operation, int root, CollectiveOptions options = default)
    {
        var reduction = new Reduction(type, operation);
        Arguments.ThrowIfNotElements(values.Length, reduction);
        Arguments.ThrowIfNotRank(root, nameof(root), WorldSize);
        using var running = Begin(nameof(Reduce), Operation.Reduce, options, byteCount: values.Length, OperationDetail.Of(reduction, root));
        DirectReduce.Run(_mesh, _tree, values, reduction, root);
    }

    /// <inheritdoc/>
    public override void ReduceScatter(
        ReadOnlySpan<byte> all, Span<byte> part, DataType type, ReduceOperation operation, CollectiveOptions options = default)
    {
        var reduction = new Reduction(type, operation);
        Arguments.ThrowIfNotElements(part.Length, reduction);
        Arguments.ThrowIfNotParts(part, all, WorldSize);
        using var running = Begin(nameof(ReduceScatter), Operation.ReduceScatter, options, byteCount: all.Length, OperationDetail.Of(reduction));
        DirectReduceScatter.Run(_mesh, _tree, all, new MessageParts(all.Length, part.Length), reduction, part);
    }

    /// <inheritdoc/>
    public override void AllGather(ReadOnlySpan<byte> part, Span<byte> all, CollectiveOptions options = default)
    {
        Arguments.ThrowIfNotParts(part, all, WorldSize);
        using var running = Begin(nameof(AllGather), Operation.AllGather, options, byteCount: all.Length);
        part.CopyTo(all[(Rank * part.Length)..]);
        DirectAllGather.Run(_mesh, all, new MessageParts(all.Length, part.Length));
    }

    /// <inheritdoc/>
    public override void Gather(ReadOnlySpan<byte> part, Span<byte> all, int root, CollectiveOptions options = default)
    {
        Arguments.ThrowIfNotRank(root, nameof(root), WorldSize);
        if (root == Rank)
        {
            Arguments.ThrowIfNotParts(part, all, WorldSize);
        }

        using var running = Begin(nameof(Gather), Operation.Gather, options, byteCount: part.Length, OperationDetail.Of(root));
        DirectGather.Run(_mesh, part, all, root);
    }

    /// <inheritdoc/>
    public override void Scatter(ReadOnlySpan<byte> all, Span<byte> part, int root, CollectiveOptions options = default)
    {
        Arguments.ThrowIfNotRank(root, nameof(root), WorldSize);
        if (root == Rank)
        {
            Arguments.ThrowIfNotParts(part, all, WorldSize);
        }

        using var running = Begin(nameof(Scatter), Operation.Scatter, options, byteCount: part.Length, OperationDetail.Of(root));
        DirectScatter.Run(_mesh, all, part, root);
    }

    /// <inheritdoc/>
    public override void Broadcast(Span<byte> values, int root, CollectiveOptions options = default)
    {
        Arguments.ThrowIfNotRank(root, nameof(root), WorldSize);
        using var running = Begin(nameof(Broadcast), Operation.Broadcast, options, byteCount: values.Length, OperationDetail.Of(root));
        DirectBroadcast.Run(_mesh, values, root);
    }

    /// <inheritdoc/>
    public override void AllToAll(ReadOnlySpan<byte> sent, Span<byte> received, CollectiveOptions options = default)
    {
        Arguments.ThrowIfNotExchange(sent, received, WorldSize);
        using var running = Begin(nameof(AllToAll), Operation.AllToAll, options, byteCount: sent.Length);
        DirectAllToAll.Run(_mesh, sent, received, new MessageParts(sent.Length, sent.Length / WorldSize));
    }

    /// <inheritdoc/>
    public override void Barrier(CollectiveOptions options = default)
    {
        using var running = Begin(nameof(Barrier), Operation.Barrier, options, byteCount: 0);
        DirectBarrier.Run(_mesh);
    }

    /// <inheritdoc/>
    public override void MonitoredBarrier(CollectiveOptions options = default)
    {
        if (Rank != 0)
        {
            options = options with { Timeout = (options.Timeout ?? DefaultTimeout) + VerdictGrace };
        }

        using var running = Begin(nameof(MonitoredBarrier), Operation.MonitoredBarrier, options, byteCount: 0);
        var missing = Algorithms.MonitoredBarrier.Run(_mesh);
        if (missing.Count > 0)
        {
            var ranks = string.Join(", ", missing.Select(rank => _mesh[rank].PeerRank));
            var phases = string.Concat(missing.Select(rank => _mesh[rank]).Select(link => link.LastPhase.Replace("it was", $"rank {link.PeerRank} was", StringComparison.Ordinal)));
            throw _failure.Fail(
                FailureKind.Timeout, _mesh[missing[0]].PeerRank, $"rank{(missing.Count == 1 ? "" : "s")} {ranks} did not reach the barrier in time{phases}");
        }
    }

    /// <inheritdoc/>
    public override void Send(ReadOnlySpan<byte> values, int peer, CollectiveOptions options = default)
    {
        Arguments.ThrowIfNotPeer(peer, Rank, WorldSize);
        using var running = Begin(nameof(Send), Operation.Send, options, byteCount: values.Length);
        PointToPoint.Send(_mesh[peer], values);
    }

    /// <inheritdoc/>
    public override void Receive(Span<byte> values, int peer, CollectiveOptions options = default)
    {
        Arguments.ThrowIfNotPeer(peer, Rank, WorldSize);
        using var running = Begin(nameof(Receive), Operation.Send, options, byteCount: values.Length);
        PointToPoint.Receive(_mesh[peer], values);
    }

    /// <inheritdoc/>
    public override ProcessGroup? Subgroup(params ReadOnlySpan<int> ranks)
    {
        Arguments.ThrowIfNotSubgroup(ranks, WorldSize);
        return ranks.Contains(Rank) ? new PeerProcessGroup(this, _mesh.Subset(ranks), _hosts?.Subset(ranks)) : null;
    }
}
