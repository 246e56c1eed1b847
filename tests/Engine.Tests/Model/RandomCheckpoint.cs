using System.Collections.Immutable;
using System.Runtime.InteropServices;
using Distributed.Engine.Checkpoints;
using Distributed.Engine.Kernels;

namespace Distributed.Engine.Tests.Model;

/// <summary>A seeded random Llama in memory, divided as fairscale does into any number of parts that divides it.</summary>
internal sealed unsafe class RandomCheckpoint : IDisposable
{
    private readonly Dictionary<string, (float[] Values, int Rows, int Columns, char Split)> _tensors = [];
    private readonly List<NativeBuffer> _memory = [];
    private readonly TensorType _type;

    public RandomCheckpoint(LlamaConfig config, TensorType type, int seed)
    {
        Config = config;
        _type = type;
        var random = new Random(seed);
        var (dimension, hidden) = (config.Dimension, config.HiddenDimension);
        var keyValue = config.KeyValueHeadCount * config.HeadDimension;
        Add("tok_embeddings.weight", config.VocabularySize, dimension, 'e', 1);
        for (var layer = 0; layer < config.LayerCount; layer++)
        {
            Add($"layers.{layer}.attention_norm.weight", 1, dimension, 'n', 1);
            Add($"layers.{layer}.attention.wq.weight", config.QueryDimension, dimension, 'r', dimension);
            Add($"layers.{layer}.attention.wk.weight", keyValue, dimension, 'r', dimension);
            Add($"layers.{layer}.attention.wv.weight", keyValue, dimension, 'r', dimension);
            Add($"layers.{layer}.attention.wo.weight", dimension, config.QueryDimension, 'c', dimension);
            if (config.HasQueryKeyValueBias)
            {
                Add($"layers.{layer}.attention.wq.bias", 1, config.QueryDimension, 'b', 1);
                Add($"layers.{layer}.attention.wk.bias", 1, keyValue, 'b', 1);
                Add($"layers.{layer}.attention.wv.bias", 1, keyValue, 'b', 1);
            }

            if (config.HasQueryKeyNorm)
            {
                Add($"layers.{layer}.attention.q_norm.weight", 1, config.HeadDimension, 'n', 1);
                Add($"layers.{layer}.attention.k_norm.weight", 1, config.HeadDimension, 'n', 1);
            }

            Add($"layers.{layer}.ffn_norm.weight", 1, dimension, 'n', 1);
            Add($"layers.{layer}.feed_forward.w1.weight", hidden, dimension, 'r', dimension);
            Add($"layers.{layer}.feed_forward.w3.weight", hidden, dimension, 'r', dimension);
            Add($"layers.{layer}.feed_forward.w2.weight", dimension, hidden, 'c', hidden);
        }

        Add("norm.weight", 1, dimension, 'n', 1);
        Add("output.weight", config.VocabularySize, dimension, 'r', dimension / 16);

        void Add(string name, int rows, int columns, char split, int fanIn)
        {
            var scale = 2 / Math.Sqrt(fanIn);
            var values = new float[rows * columns];
            for (var i = 0; i < values.Length; i++)
            {
                values[i] = Stored(split == 'n' ? 1 + (0.2 * (random.NextDouble() - 0.5)) : scale * (random.NextDouble() - 0.5) * 2);
            }

            _tensors.Add(name, (values, rows, columns, split));
        }
    }

    public LlamaConfig Config { get; }

    /// <summary>A tensor's values, as float32, to change before shards are made.</summary>
    public float[] this[string name] => _tensors[name].Values;

    /// <summary>The tensors as so many shards hold them.</summary>
    public Func<string, StoredTensor> Stored(int shardCount, EmbeddingLayout layout)
    {
        var tensors = LlamaTensors.Of(Config, layout).ToDictionary(
            tensor => tensor.Name,
            tensor => new StoredTensor(
                tensor.Name,
                _type,
                tensor.Shape,
                tensor.Split,
                [.. Enumerable.Range(0, tensor.Split == TensorSplit.Replicated ? 1 : shardCount).Select(shard => Part(tensor, shardCount, shard))]));
        return name => tensors[name];
    }

    public void Dispose() => _memory.ForEach(buffer => buffer.Dispose());

    private MappedTensor Part(LlamaTensor tensor, int shardCount, int shard)
    {
        var (values, rows, columns, _) = _tensors[tensor.Name];
        var (rowStart, rowCount) = tensor.Split == TensorSplit.Rows ? (rows / shardCount * shard, rows / shardCount) : (0, rows);
        var (columnStart, columnCount) = tensor.Split == TensorSplit.Columns ? (columns / shardCount * shard, columns / shardCount) : (0, columns);
        var part = new float[rowCount * columnCount];
        for (var row = 0; row < rowCount; row++)
        {
            values.AsSpan(((rowStart + row) * columns) + columnStart, columnCount).CopyTo(part.AsSpan(row * columnCount));
        }

        ImmutableArray<long> shape = tensor.Shape.Length == 1 ? [columnCount] : [rowCount, columnCount];
        return new MappedTensor(tensor.Name, _type, shape, Store(part));
    }

    private float Stored(double value)
        => _type switch
        {
            TensorType.BFloat16 => BitConverter.UInt32BitsToSingle(BitConverter.SingleToUInt32Bits((float)value) & 0xFFFF0000),
            TensorType.Float16 => (float)(Half)value,
            _ => (float)value,
        };

    // Ends with the last element: what reads behind it reads memory that is not the tensor's.
    private nint Store(float[] values)
    {
        var buffer = new NativeBuffer(values.Length);
        lock (_memory)
        {
            _memory.Add(buffer);
        }

        var bytes = _type == TensorType.Float32
            ? MemoryMarshal.AsBytes(values.AsSpan()).ToArray()
            : [.. values.SelectMany(value => BitConverter.GetBytes(
                _type == TensorType.BFloat16 ? (ushort)(BitConverter.SingleToUInt32Bits(value) >> 16) : BitConverter.HalfToUInt16Bits((Half)value)))];
        bytes.CopyTo(new Span<byte>(buffer.Data, bytes.Length));
        return (nint)buffer.Data;
    }
}
