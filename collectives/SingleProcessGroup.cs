using Distributed.Collectives.Algorithms;

namespace Distributed.Collectives;

/// <summary>A world of one rank: every operation is complete at once, nothing listens and nothing is sent.</summary>
public sealed class SingleProcessGroup : ProcessGroup
{
    private readonly CancellationTokenSource _aborted = new();
    private readonly SingleProcessGroup _whole; // whose aborts are this one's: this, or the group that this is a subgroup of
    private string? _cause;

    /// <summary>A world of its own.</summary>
    public SingleProcessGroup() => _whole = this;

    private SingleProcessGroup(SingleProcessGroup whole) => _whole = whole;

    /// <inheritdoc/>
    public override int Rank => 0;

    /// <inheritdoc/>
    public override int WorldSize => 1;

    /// <inheritdoc/>
    public override string TransportDescription => "in-process (one rank, nothing to send)";

    /// <inheritdoc/>
    public override CancellationToken Aborted => _whole._aborted.Token;

    /// <inheritdoc/>
    public override void AllReduce(Span<byte> values, DataType type, ReduceOperation operation, CollectiveOptions options = default)
    {
        ThrowIfAborted();
        Arguments.ThrowIfNotElements(values.Length, new Reduction(type, operation));
    }

    /// <inheritdoc/>
    public override void Reduce(Span<byte> values, DataType type, ReduceOperation operation, int root, CollectiveOptions options = default)
    {
        AllReduce(values, type, operation, options);
        Arguments.ThrowIfNotRank(root, nameof(root), WorldSize);
    }

    /// <inheritdoc/>
    public override void ReduceScatter(
        ReadOnlySpan<byte> all, Span<byte> part, DataType type, ReduceOperation operation, CollectiveOptions options = default)
    {
        AllReduce(part, type, operation, options);
        Copy(all, part, part, all);
    }

    /// <inheritdoc/>
    public override void AllGather(ReadOnlySpan<byte> part, Span<byte> all, CollectiveOptions options = default)
    {
        ThrowIfAborted();
        Copy(part, all, part, all);
    }

    /// <inheritdoc/>
    public override void Gather(ReadOnlySpan<byte> part, Span<byte> all, int root, CollectiveOptions options = default)
    {
        ThrowIfAborted();
        Arguments.ThrowIfNotRank(root, nameof(root), WorldSize);
        Copy(part, all, part, all);
    }

    /// <inheritdoc/>
    public override void Scatter(ReadOnlySpan<byte> all, Span<byte> part, int root, CollectiveOptions options = default)
    {
        ThrowIfAborted();
        Arguments.ThrowIfNotRank(root, nameof(root), WorldSize);
        Copy(all, part, part, all);
    }

    /// <inheritdoc/>
    public override void AllToAll(ReadOnlySpan<byte> sent, Span<byte> received, CollectiveOptions options = default)
    {
        ThrowIfAborted();
        Arguments.ThrowIfNotExchange(sent, received, WorldSize);
        sent.CopyTo(received);
    }

    /// <inheritdoc/>
    public override void Broadcast(Span<byte> values, int root, CollectiveOptions options = default)
    {
        ThrowIfAborted();
        Arguments.ThrowIfNotRank(root, nameof(root), WorldSize);
    }

    /// <inheritdoc/>
    public override void Barrier(CollectiveOptions options = default) => ThrowIfAborted();

    /// <inheritdoc/>
    public override void MonitoredBarrier(CollectiveOptions options = default) => ThrowIfAborted();

    /// <inheritdoc/>
    public override ProcessGroup? Subgroup(params ReadOnlySpan<int> ranks)
    {
        Arguments.ThrowIfNotSubgroup(ranks, WorldSize);
        return new SingleProcessGroup(_whole);
    }

    /// <inheritdoc/>
    public override void Send(ReadOnlySpan<byte> values, int peer, CollectiveOptions options = default) => throw NoPeer(peer);

    /// <inheritdoc/>
    public override void Receive(Span<byte> values, int peer, CollectiveOptions options = default) => throw NoPeer(peer);

    /// <inheritdoc/>
    public override void Abort(string cause)
    {
        if (Interlocked.CompareExchange(ref _whole._cause, cause, null) is null)
        {
            _whole._aborted.Cancel();
        }
    }

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            _aborted.Dispose();
        }

        base.Dispose(disposing);
    }

    private static void Copy(ReadOnlySpan<byte> from, Span<byte> to, ReadOnlySpan<byte> part, ReadOnlySpan<byte> all)
    {
        Arguments.ThrowIfNotParts(part, all, worldSize: 1);
        from.CopyTo(to);
    }

    private static ArgumentOutOfRangeException NoPeer(int peer)
        => new(nameof(peer), peer, "This group has one rank and no peer to exchange messages with.");

    private void ThrowIfAborted()
    {
        if (_whole._cause is { } cause)
        {
            throw new GroupAbortedException($"The group was aborted before: {cause}", peerRank: null);
        }
    }
}
