using Distributed.Engine.Checkpoints;
using Distributed.Engine.Kernels;
using Distributed.Engine.Parallel;
using Distributed.Engine.Weights;

namespace Distributed.Engine.Model;

/// <summary>One layer's weights on this rank.</summary>
/// <param name="AttentionNorm">[dimension]</param>
/// <param name="QueryKeyValue">wq, wk, wv: [(heads + 2 x key-value heads) x head dimension, dimension], this rank's heads.</param>
/// <param name="AttentionOutput">wo: [dimension, heads x head dimension], this rank's heads.</param>
/// <param name="FeedForwardNorm">[dimension]</param>
/// <param name="GateUp">w1, w3: [2 x hidden, dimension], this rank's hidden units.</param>
/// <param name="Down">w2: [dimension, hidden], this rank's hidden units.</param>
internal sealed record LlamaLayer(
    NativeBuffer AttentionNorm,
    LinearLayer QueryKeyValue,
    LinearLayer AttentionOutput,
    NativeBuffer FeedForwardNorm,
    LinearLayer GateUp,
    LinearLayer Down);

/// <summary>All weights of this rank: matrices in place in the mapped shard, norms widened to float32.</summary>
internal sealed class LlamaWeights : IDisposable
{
    private readonly List<NativeBuffer> _vectors = [];

    /// <param name="config">The model's shape.</param>
    /// <param name="plan">This rank's part.</param>
    /// <param name="layout">How the embedding is split.</param>
    /// <param name="tensors">This rank's tensors by Meta's names.</param>
    /// <param name="kernels">Used by the layers.</param>
    /// <param name="pool">Used by the layers.</param>
    /// <exception cref="CheckpointException">A tensor's shape is not the plan's.</exception>
    public LlamaWeights(
        LlamaConfig config, ShardPlan plan, EmbeddingLayout layout, Func<string, MappedTensor> tensors, KernelSet kernels, ComputePool pool)
    {
        var dimension = config.Dimension;
        var heads = plan.Heads.Count * config.HeadDimension;
        var keyValueHeads = plan.KeyValueHeads.Count * config.HeadDimension;
        var hidden = plan.Hidden.Count;
        Embedding = WeightMatrix.Create(
            tensors("tok_embeddings.weight"),
            layout == EmbeddingLayout.SplitByVocabulary ? plan.Vocabulary.Count : config.VocabularySize,
            layout == EmbeddingLayout.SplitByDimension ? plan.EmbeddingColumns.Count : dimension);
        Layers = new LlamaLayer[config.LayerCount];
        for (var i = 0; i < Layers.Length; i++)
        {
            var layer = i;
            Layers[i] = new LlamaLayer(
                Vector($"layers.{layer}.attention_norm.weight"),
                Linear(
                    Matrix("attention.wq", heads, dimension),
                    Matrix("attention.wk", keyValueHeads, dimension),
                    Matrix("attention.wv", keyValueHeads, dimension)),
                Linear(Matrix("attention.wo", dimension, heads, plan.AttentionGroupCount)),
                Vector($"layers.{layer}.ffn_norm.weight"),
                Linear(Matrix("feed_forward.w1", hidden, dimension), Matrix("feed_forward.w3", hidden, dimension)),
                Linear(Matrix("feed_forward.w2", dimension, hidden, plan.HiddenGroupCount)));

            WeightMatrix Matrix(string name, int rows, int columns, int groups = 1)
                => WeightMatrix.Create(tensors($"layers.{layer}.{name}.weight"), rows, columns, groups);
        }

        Norm = Vector("norm.weight");
        Output = Linear(WeightMatrix.Create(tensors("output.weight"), plan.Vocabulary.Count, dimension));

        LinearLayer Linear(params WeightMatrix[] matrices) => new(kernels, pool, matrices);

        unsafe NativeBuffer Vector(string name)
        {
            var buffer = new NativeBuffer(dimension);
            _vectors.Add(buffer);
            WeightElements.ReadVector(tensors(name), new Span<float>(buffer.Data, dimension));
            return buffer;
        }
    }

    /// <summary>Token embeddings: [vocabulary, dimension], this rank's rows or columns.</summary>
    public WeightMatrix Embedding { get; }

    /// <summary>[layer]</summary>
    public LlamaLayer[] Layers { get; }

    /// <summary>[dimension]</summary>
    public NativeBuffer Norm { get; }

    /// <summary>[vocabulary, dimension], this rank's rows.</summary>
    public LinearLayer Output { get; }

    /// <summary>Bytes of the norms, the only weights that are copied.</summary>
    public long OwnedByteCount => _vectors.Sum(vector => vector.ByteCount);

    /// <summary>The longest arranged input of any layer, in floats.</summary>
    public int MaxPaddedLength
        => Layers.SelectMany(layer => new[] { layer.QueryKeyValue, layer.AttentionOutput, layer.GateUp, layer.Down })
            .Append(Output)
            .Max(linear => linear.InputLayout.PaddedLength);

    public void Dispose() => _vectors.ForEach(vector => vector.Dispose());
}
