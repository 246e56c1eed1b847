using Distributed.Engine.Kernels;

namespace Distributed.Engine.Model;

/// <summary>
/// This rank's keys and values, float32 [layer][block, key-value head, position in the block, padded head], allocated once; pages of blocks that no
/// sequence ever had are never resident. Which block holds which part of a sequence is in <see cref="BlockTables"/>.
/// </summary>
internal sealed unsafe class KeyValueCache : IDisposable
{
    /// <summary>Positions of a block: those of the blocks in which attention is defined.</summary>
    public const int BlockLength = AttentionKernel.BlockLength;

    private readonly NativeBuffer[] _keys;
    private readonly NativeBuffer[] _values;

    /// <param name="layerCount">Layers.</param>
    /// <param name="blockCount">Blocks of all sequences.</param>
    /// <param name="headCount">Key-value heads of this rank.</param>
    /// <param name="headDimension">Width of a head.</param>
    public KeyValueCache(int layerCount, int blockCount, int headCount, int headDimension)
    {
        PaddedDimension = (headDimension + 15) & ~15;
        BlockStride = checked((nint)headCount * BlockLength * PaddedDimension);
        var length = checked(blockCount * (long)BlockStride);
        _keys = Allocate(layerCount, length);
        _values = Allocate(layerCount, length);
    }

    /// <summary>Width of a head with its padding, which stays zero.</summary>
    public int PaddedDimension { get; }

    /// <summary>Floats from a head's part of one block to its part of the next.</summary>
    public nint BlockStride { get; }

    /// <summary>Bytes that the whole cache would occupy.</summary>
    public long ByteCount => _keys.Sum(buffer => buffer.ByteCount) + _values.Sum(buffer => buffer.ByteCount);

    /// <summary>Blocks that hold so many positions of a sequence.</summary>
    public static int BlocksFor(int positionCount) => (int)(((long)positionCount + BlockLength - 1) / BlockLength);

    /// <summary>A head's keys in block 0: [position, PaddedDimension].</summary>
    public float* Keys(int layer, int head) => _keys[layer].Data + HeadOffset(head);

    /// <summary>A head's values in block 0: [position, PaddedDimension].</summary>
    public float* Values(int layer, int head) => _values[layer].Data + HeadOffset(head);

    /// <summary>Floats from the first position of block 0 to a position of a block.</summary>
    public nint Offset(int block, int position) => (block * BlockStride) + ((nint)(position % BlockLength) * PaddedDimension);

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

    private nint HeadOffset(int head) => (nint)head * BlockLength * PaddedDimension;
}
