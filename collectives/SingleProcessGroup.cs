namespace Distributed.Collectives;

/// <summary>A world of one rank: every operation is complete at once, nothing listens and nothing is sent.</summary>
public sealed class SingleProcessGroup : ProcessGroup
{
    private readonly CancellationTokenSource _aborted = new();
    private string? _cause;

    /// <inheritdoc/>
    public override int Rank => 0;

    /// <inheritdoc/>
    public override int WorldSize => 1;

    /// <inheritdoc/>
    public override string TransportDescription => "in-process (one rank, nothing to send)";

    /// <inheritdoc/>
    public override CancellationToken Aborted => _aborted.Token;

    /// <inheritdoc/>
    public override void AllReduce(Span<float> values, CollectiveOptions options = default) => ThrowIfAborted();

    /// <inheritdoc/>
    public override void AllGather(ReadOnlySpan<byte> part, Span<byte> all, CollectiveOptions options = default)
    {
        ThrowIfAborted();
        CopyPart(part, all);
    }

    /// <inheritdoc/>
    public override void Gather(ReadOnlySpan<byte> part, Span<byte> all, int root, CollectiveOptions options = default)
    {
        ThrowIfAborted();
        ThrowIfNotRank(root);
        CopyPart(part, all);
    }

    /// <inheritdoc/>
    public override void Broadcast(Span<byte> values, int root, CollectiveOptions options = default)
    {
        ThrowIfAborted();
        ThrowIfNotRank(root);
    }

    /// <inheritdoc/>
    public override void Barrier(CollectiveOptions options = default) => ThrowIfAborted();

    /// <inheritdoc/>
    public override void Send(ReadOnlySpan<byte> values, int peer, CollectiveOptions options = default) => throw NoPeer(peer);

    /// <inheritdoc/>
    public override void Receive(Span<byte> values, int peer, CollectiveOptions options = default) => throw NoPeer(peer);

    /// <inheritdoc/>
    public override void Abort(string cause)
    {
        if (Interlocked.CompareExchange(ref _cause, cause, null) is null)
        {
            _aborted.Cancel();
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

    private static void CopyPart(ReadOnlySpan<byte> part, Span<byte> all)
    {
        if (all.Length != part.Length)
        {
            throw new ArgumentException($"The result has {all.Length} bytes; one rank with a part of {part.Length} needs as many.", nameof(all));
        }

        part.CopyTo(all);
    }

    private static void ThrowIfNotRank(int root)
    {
        if (root != 0)
        {
            throw new ArgumentOutOfRangeException(nameof(root), root, "The only rank of this group is 0.");
        }
    }

    private static ArgumentOutOfRangeException NoPeer(int peer)
        => new(nameof(peer), peer, "This group has one rank and no peer to exchange messages with.");

    private void ThrowIfAborted()
    {
        if (_cause is { } cause)
        {
            throw new GroupAbortedException($"The group was aborted before: {cause}", peerRank: null);
        }
    }
}
