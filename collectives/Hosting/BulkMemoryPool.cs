using System.Buffers;
using System.Collections.Concurrent;
using Microsoft.AspNetCore.Connections;

namespace Distributed.Collectives.Hosting;

/// <summary>
/// Blocks for a server whose messages are large. Kestrel's own are of 4 KiB, so that it asks the kernel sixteen times for a segment of
/// 64 KiB, and wakes the reader of the connection about as often.
/// </summary>
internal sealed class BulkMemoryPool : MemoryPool<byte>
{
    /// <summary>The length of a block: a segment with its header is in two.</summary>
    public const int BlockByteCount = 64 << 10;

    // What is given back beyond this is left to the collector.
    private const int MaxKeptCount = 64;

    private readonly ConcurrentQueue<Block> _kept = new();
    private volatile bool _isDisposed;

    /// <inheritdoc/>
    public override int MaxBufferSize => BlockByteCount;

    /// <inheritdoc/>
    public override IMemoryOwner<byte> Rent(int minBufferSize = -1)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(minBufferSize, BlockByteCount);
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        return _kept.TryDequeue(out var block) ? block : new Block(this);
    }

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        _isDisposed = true;
        _kept.Clear();
    }

    private void Keep(Block block)
    {
        if (!_isDisposed && _kept.Count < MaxKeptCount)
        {
            _kept.Enqueue(block);
        }
    }

    /// <summary>A pool for each of the server's loops, which use little but their own.</summary>
    public sealed class Factory : IMemoryPoolFactory<byte>
    {
        /// <inheritdoc/>
        public MemoryPool<byte> Create(MemoryPoolOptions? options = null) => new BulkMemoryPool();
    }

    // Pinned, as the kernel writes into it.
    private sealed class Block(BulkMemoryPool pool) : IMemoryOwner<byte>
    {
        private readonly byte[] _bytes = GC.AllocateUninitializedArray<byte>(BlockByteCount, pinned: true);

        public Memory<byte> Memory => _bytes;

        public void Dispose() => pool.Keep(this);
    }
}
