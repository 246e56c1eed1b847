using Distributed.Engine.Kernels;

namespace Distributed.Engine.Model;

/// <summary>
/// This rank's keys and values, [block, layer, keys or values, key-value head, <see cref="CacheLayout"/>], allocated once; pages of blocks that no sequence ever had
/// are never resident. Which block holds which part of a sequence is in <see cref="BlockTables"/>.
/// </summary>
/// <remarks>
/// All that belongs to a block lies together, so large pages waste less than one a run of blocks. With small ones every head's part of a block would begin with a walk
/// through the page tables, which takes longer than reading it.
/// </remarks>
internal sealed unsafe class KeyValueCache : IDisposable
{
    /// <summary>Positions of a block: those of the blocks in which attention is defined.</summary>
    public const int BlockLength = CacheLayout.BlockLength;

    private readonly NativeBuffer _buffer;
    private readonly nint _halfByteCount; // keys or values of a layer and block

    /// <param name="layerCount">Layers.</param>
    /// <param name="blockCount">Blocks of all sequences.</param>
    /// <param name="headCount">Key-value heads of this rank.</param>
    /// <param name="layout">How a head's part of a block lies.</param>
    public KeyValueCache(int layerCount, int blockCount, int headCount, CacheLayout layout)
    {
        Layout = layout;
        _halfByteCount = checked((nint)headCount * layout.HeadByteCount);
        BlockByteCount = checked(2 * layerCount * _halfByteCount);
        _buffer = new NativeBuffer(checked(blockCount * (long)BlockByteCount) / sizeof(float));
        MemoryAdvice.UseLargePages(_buffer.Data, _buffer.ByteCount);
    }

    /// <summary>How a head's part of a block lies.</summary>
    public CacheLayout Layout { get; }

    /// <summary>Bytes from a head's part of one block to its part of the next.</summary>
    public nint BlockByteCount { get; }

    /// <summary>Bytes that the whole cache would occupy.</summary>
    public long ByteCount => _buffer.ByteCount;

    /// <summary>Blocks that hold so many positions of a sequence.</summary>
    public static int BlocksFor(int positionCount) => (int)(((long)positionCount + BlockLength - 1) / BlockLength);

    /// <summary>A head's keys in block 0.</summary>
    public byte* Keys(int layer, int head) => (byte*)_buffer.Data + (2 * layer * _halfByteCount) + ((nint)head * Layout.HeadByteCount);

    /// <summary>A head's values in block 0.</summary>
    public byte* Values(int layer, int head) => Keys(layer, head) + _halfByteCount;

    /// <summary>Puts a head's key and value of a position, each [head dimension], into a block.</summary>
    public void Store(int layer, int head, int block, int position, float* key, float* value)
    {
        var offset = block * BlockByteCount;
        Layout.Store(key, Keys(layer, head) + offset, position % BlockLength);
        Layout.Store(value, Values(layer, head) + offset, position % BlockLength);
    }

    public void Dispose() => _buffer.Dispose();
}
