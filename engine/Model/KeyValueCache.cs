using Distributed.Engine.Kernels;

namespace Distributed.Engine.Model;

/// <summary>
/// This rank's keys and values, [layer][block, key-value head, <see cref="CacheLayout"/>], allocated once; pages of blocks that no sequence ever had are never
/// resident. Which block holds which part of a sequence is in <see cref="BlockTables"/>.
/// </summary>
internal sealed unsafe class KeyValueCache : IDisposable
{
    /// <summary>Positions of a block: those of the blocks in which attention is defined.</summary>
    public const int BlockLength = CacheLayout.BlockLength;

    private readonly NativeBuffer[] _keys;
    private readonly NativeBuffer[] _values;

    /// <param name="layerCount">Layers.</param>
    /// <param name="blockCount">Blocks of all sequences.</param>
    /// <param name="headCount">Key-value heads of this rank.</param>
    /// <param name="layout">How a head's part of a block lies.</param>
    public KeyValueCache(int layerCount, int blockCount, int headCount, CacheLayout layout)
    {
        Layout = layout;
        BlockByteCount = checked((nint)headCount * layout.HeadByteCount);
        var length = checked(blockCount * (long)BlockByteCount) / sizeof(float);
        _keys = Allocate(layerCount, length);
        _values = Allocate(layerCount, length);
    }

    /// <summary>How a head's part of a block lies.</summary>
    public CacheLayout Layout { get; }

    /// <summary>Bytes from a head's part of one block to its part of the next.</summary>
    public nint BlockByteCount { get; }

    /// <summary>Bytes that the whole cache would occupy.</summary>
    public long ByteCount => _keys.Sum(buffer => buffer.ByteCount) + _values.Sum(buffer => buffer.ByteCount);

    /// <summary>Blocks that hold so many positions of a sequence.</summary>
    public static int BlocksFor(int positionCount) => (int)(((long)positionCount + BlockLength - 1) / BlockLength);

    /// <summary>A head's keys in block 0.</summary>
    public byte* Keys(int layer, int head) => (byte*)_keys[layer].Data + ((nint)head * Layout.HeadByteCount);

    /// <summary>A head's values in block 0.</summary>
    public byte* Values(int layer, int head) => (byte*)_values[layer].Data + ((nint)head * Layout.HeadByteCount);

    /// <summary>Puts a head's key and value of a position, each [head dimension], into a block.</summary>
    public void Store(int layer, int head, int block, int position, float* key, float* value)
    {
        var offset = block * BlockByteCount;
        Layout.Store(key, Keys(layer, head) + offset, position % BlockLength);
        Layout.Store(value, Values(layer, head) + offset, position % BlockLength);
    }

    public void Dispose()
    {
        Array.ForEach(_keys, buffer => buffer.Dispose());
        Array.ForEach(_values, buffer => buffer.Dispose());
    }

    private static NativeBuffer[] Allocate(int layerCount, long length)
    {
        var buffers = new NativeBuffer[layerCount];
        for (var layer = 0; layer < layerCount; layer++)
        {
            buffers[layer] = new NativeBuffer(length);
        }

        return buffers;
    }
}
