using Distributed.Engine.Kernels;

namespace Distributed.Engine.Model;

/// <summary>
/// This rank's keys and values of every position so far, float32 [layer][slot, key-value head, position, padded head], allocated once;
/// pages that no sequence reaches are never resident.
/// </summary>
internal sealed unsafe class KeyValueCache : IDisposable
{
    private readonly NativeBuffer[] _keys;
    private readonly NativeBuffer[] _values;
    private readonly int _headCount;
    private readonly int _maxSequenceLength;

    /// <param name="layerCount">Layers.</param>
    /// <param name="slotCount">Sequences at once.</param>
    /// <param name="headCount">Key-value heads of this rank.</param>
    /// <param name="maxSequenceLength">Positions of a sequence.</param>
    /// <param name="headDimension">Width of a head.</param>
    public KeyValueCache(int layerCount, int slotCount, int headCount, int maxSequenceLength, int headDimension)
    {
        _headCount = headCount;
        _maxSequenceLength = maxSequenceLength;
        PaddedDimension = (headDimension + 15) & ~15;
        var length = checked((long)slotCount * headCount * maxSequenceLength * PaddedDimension);
        _keys = Allocate(layerCount, length);
        _values = Allocate(layerCount, length);
    }

    /// <summary>Width of a head with its padding, which stays zero.</summary>
    public int PaddedDimension { get; }

    /// <summary>Bytes that the whole cache would occupy.</summary>
    public long ByteCount => _keys.Sum(buffer => buffer.ByteCount) + _values.Sum(buffer => buffer.ByteCount);

    /// <summary>The key of a position: [PaddedDimension], the next position's behind it.</summary>
    public float* Key(int layer, int slot, int head, int position) => _keys[layer].Data + Offset(slot, head, position);

    /// <summary>The value of a position: [PaddedDimension], the next position's behind it.</summary>
    public float* Value(int layer, int slot, int head, int position) => _values[layer].Data + Offset(slot, head, position);

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

    private nint Offset(int slot, int head, int position)
        => ((((nint)slot * _headCount) + head) * _maxSequenceLength + position) * PaddedDimension;
}
