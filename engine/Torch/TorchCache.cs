using Distributed.Engine.Model;
using static TorchSharp.torch;

namespace Distributed.Engine.Torch;

/// <summary>
/// This rank's keys and values on the device, [layer][key-value head, block x position in the block, head dimension], as <see cref="TorchDevice.CacheType"/>.
/// </summary>
internal sealed class TorchCache : IDisposable
{
    private const int BlockLength = KeyValueCache.BlockLength;

    private readonly Tensor[] _keys;
    private readonly Tensor[] _values;
    private readonly int _blockCount;
    private readonly ScalarType _type;

    public TorchCache(int layerCount, int blockCount, int headCount, int headDimension, TorchDevice device)
    {
        // Zeros: what was never written may be computed with before it is masked, and must be finite.
        (_blockCount, _type) = (blockCount, device.CacheType);
        _keys = [.. Enumerable.Range(0, layerCount).Select(_ => Allocate())];
        _values = [.. Enumerable.Range(0, layerCount).Select(_ => Allocate())];

        Tensor Allocate() => zeros(headCount, blockCount * (long)BlockLength, headDimension, dtype: device.CacheType, device: device.Device);
    }

    /// <summary>Bytes on the device.</summary>
    public long ByteCount => _keys.Concat(_values).Sum(tensor => tensor.NumberOfElements * tensor.ElementSize);

    /// <summary>Writes the keys and values of a part's tokens.</summary>
    /// <param name="layer">Of this stage.</param>
    /// <param name="places">[token] int64: block x 64 + position in the block.</param>
    /// <param name="keys">[token, head, head dimension]</param>
    /// <param name="values">[token, head, head dimension]</param>
    public void Write(int layer, Tensor places, Tensor keys, Tensor values)
    {
        _ = _keys[layer].index_copy_(1, places, keys.transpose(0, 1).to_type(_type));
        _ = _values[layer].index_copy_(1, places, values.transpose(0, 1).to_type(_type));
    }

    /// <summary>The keys that a span attends to: [head, sequence x position, head dimension] float32.</summary>
    public Tensor Keys(int layer, AttentionSpan span) => Read(_keys[layer], span);

    /// <summary>The values that a span attends to, likewise.</summary>
    public Tensor Values(int layer, AttentionSpan span) => Read(_values[layer], span);

    public void Dispose()
    {
        foreach (var tensor in _keys.Concat(_values))
        {
            tensor.Dispose();
        }
    }

    private Tensor Read(Tensor cache, AttentionSpan span)
    {
        var (heads, width) = (cache.shape[0], cache.shape[2]);
        if (span.Blocks is not { } blocks)
        {
            return cache.narrow(1, ((long)span.FirstBlock * BlockLength) + span.Skipped, span.Length).to_type(ScalarType.Float32);
        }

        var gathered = cache.view(heads, _blockCount, BlockLength * width).index_select(1, blocks).view(heads, -1, width);
        return (span.SequenceCount == 1 ? gathered.narrow(1, span.Skipped, span.Length) : gathered).to_type(ScalarType.Float32);
    }
}
