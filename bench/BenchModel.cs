using System.Collections.Immutable;
using Distributed.Engine.Checkpoints;

namespace Distributed.Bench;

/// <summary>A model of a public shape with seeded random weights in memory, no files.</summary>
internal sealed unsafe class BenchModel : IDisposable
{
    private readonly BenchMemory _memory;
    private readonly TensorType _type;
    private readonly int _elementSize;
    private readonly Dictionary<string, StoredTensor> _tensors = new(StringComparer.Ordinal);
    private long _used;

    public BenchModel(string shape, string type)
    {
        Config = BenchShape.Named(shape);
        _type = type switch
        {
            "fp32" => TensorType.Float32,
            "bf16" => TensorType.BFloat16,
            "fp16" => TensorType.Float16,
            _ => throw new ArgumentException($"--type {type} is not one of fp32, bf16 and fp16."),
        };
        _elementSize = _type == TensorType.Float32 ? 4 : 2;
        MatrixElementCount = BenchShape.MatrixElementCount(Config);
        var embedding = (long)Config.VocabularySize * Config.Dimension;
        var norms = ((2L * Config.LayerCount) + 1) * Config.Dimension;
        _memory = new BenchMemory((MatrixElementCount + embedding + norms) * _elementSize);
        Fill();
    }

    public LlamaConfig Config { get; }

    /// <summary>How elements are stored.</summary>
    public TensorType Type => _type;

    /// <summary>Elements of the matrices that a token passes through; of the embedding it reads one row.</summary>
    public long MatrixElementCount { get; }

    /// <summary>Bytes of weights that a token touches.</summary>
    public long TouchedByteCount => MatrixElementCount * _elementSize;

    /// <summary>All weights.</summary>
    public byte* Data => _memory.Data;

    /// <summary>The tensor of this name: the next part of the memory when it is asked for first.</summary>
    public StoredTensor Tensor(string name)
    {
        if (!_tensors.TryGetValue(name, out var known))
        {
            known = Make(name);
            _tensors.Add(name, known);
        }

        return known;
    }

    public void Dispose() => _memory.Dispose();

    private StoredTensor Make(string name)
    {
        var (dimension, keyValue) = (Config.Dimension, Config.KeyValueHeadCount * Config.HeadDimension);
        ImmutableArray<long> shape = name.Split('.')[^2] switch
        {
            "tok_embeddings" or "output" => [Config.VocabularySize, dimension],
            "wq" or "wo" => [dimension, dimension],
            "wk" or "wv" => [keyValue, dimension],
            "w1" or "w3" => [Config.HiddenDimension, dimension],
            "w2" => [dimension, Config.HiddenDimension],
            _ => [dimension],
        };
        var tensor = new MappedTensor(name, _type, shape, (nint)(_memory.Data + _used));
        _used += shape.Aggregate(1L, (product, extent) => product * extent) * _elementSize;
        return new StoredTensor(name, _type, shape, TensorSplit.Replicated, [tensor]);
    }

    // Both signs, magnitudes from 2^-6 to 2^-5: products of some thousands of them stay near 1.
    private void Fill()
    {
        var words = (ulong*)_memory.Data;
        var (clear, set) = _type switch
        {
            TensorType.Float32 => (0x807FFFFF807FFFFFul, 0x3C8000003C800000ul),
            TensorType.BFloat16 => (0x807F807F807F807Ful, 0x3C803C803C803C80ul),
            _ => (0x83FF83FF83FF83FFul, 0x2400240024002400ul),
        };
        var count = _memory.ByteCount / sizeof(ulong);
        const long Chunk = 1 << 20;
        System.Threading.Tasks.Parallel.For(0, (count + Chunk - 1) / Chunk, chunk =>
        {
            var state = ((ulong)chunk + 1) * 0x9E3779B97F4A7C15;
            for (var i = chunk * Chunk; i < Math.Min(count, (chunk + 1) * Chunk); i++)
            {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                words[i] = (state & clear) | set;
            }
        });
    }
}
