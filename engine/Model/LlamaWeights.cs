using Distributed.Engine.Checkpoints;
using Distributed.Engine.Kernels;
using Distributed.Engine.Parallel;
using Distributed.Engine.Weights;

namespace Distributed.Engine.Model;

/// <summary>One layer's weights on this rank.</summary>
/// <param name="AttentionNorm">[dimension]</param>
/// <param name="QueryKeyValue">wq, wk, wv: [(heads + 2 x key-value heads) x head dimension, dimension], this rank's heads.</param>
/// <param name="QueryKeyValueBias">Added to it; <see langword="null"/> where the model has none.</param>
/// <param name="QueryNorm">[head dimension]; <see langword="null"/> where the model has none.</param>
/// <param name="KeyNorm">[head dimension]; <see langword="null"/> where the model has none.</param>
/// <param name="AttentionOutput">wo: [dimension, heads x head dimension], this rank's heads.</param>
/// <param name="FeedForwardNorm">[dimension]</param>
/// <param name="GateUp">w1, w3: [2 x hidden, dimension], this rank's hidden units.</param>
/// <param name="Down">w2: [dimension, hidden], this rank's hidden units.</param>
internal sealed record LlamaLayer(
    NativeBuffer AttentionNorm,
    LinearLayer QueryKeyValue,
    NativeBuffer? QueryKeyValueBias,
    NativeBuffer? QueryNorm,
    NativeBuffer? KeyNorm,
    RowParallelLayer AttentionOutput,
    NativeBuffer FeedForwardNorm,
    LinearLayer GateUp,
    RowParallelLayer Down);

/// <summary>
/// All weights of this rank: its rows and columns in place in the mapped files or quantised from them, norms and biases widened to float32.
/// </summary>
internal sealed class LlamaWeights : IDisposable
{
    private readonly Func<string, StoredTensor> _tensors;
    private readonly KernelSet _kernels;
    private readonly ComputePool _pool;
    private readonly WeightFormat _format;
    private readonly MatmulPrecision _precision;
    private readonly List<NativeBuffer> _vectors = [];
    private readonly List<WeightMatrix> _matrices = [];

    /// <param name="config">The model's shape.</param>
    /// <param name="plan">This rank's part.</param>
    /// <param name="tensors">Whole tensors by Meta's names, of the shapes that the config gives.</param>
    /// <param name="format">What the matrices are computed with.</param>
    /// <param name="precision">What their products are computed from.</param>
    /// <param name="kernels">Used by the layers.</param>
    /// <param name="pool">Used by the layers.</param>
    /// <param name="progress">Told of the layers that are ready, of all.</param>
    public LlamaWeights(
        LlamaConfig config,
        ShardPlan plan,
        Func<string, StoredTensor> tensors,
        WeightFormat format,
        MatmulPrecision precision,
        KernelSet kernels,
        ComputePool pool,
        IProgress<(long Done, long Total)>? progress)
    {
        (_tensors, _format, _precision, _kernels, _pool) = (tensors, format, precision, kernels, pool);
        Embedding = plan.IsFirstStage ? new EmbeddingTable(tensors(LlamaTensors.Embedding)) : null;
        Layers = new LlamaLayer[plan.Layers.Count];
        for (var index = 0; index < Layers.Length; index++)
        {
            Layers[index] = Layer(config, plan, $"layers.{plan.Layers.Start + index}");
            progress?.Report((index + 1, Layers.Length + 1));
        }

        if (plan.IsLastStage)
        {
            Norm = Vector("norm.weight", config.Dimension);
            Output = Rows((LlamaTensors.Output, plan.Vocabulary, 1));
        }

        progress?.Report((Layers.Length + 1, Layers.Length + 1));
    }

    /// <summary>Token embeddings: [vocabulary, dimension]; on the first stage.</summary>
    public EmbeddingTable? Embedding { get; }

    /// <summary>[layer of this stage]</summary>
    public LlamaLayer[] Layers { get; }

    /// <summary>[dimension]; on the last stage.</summary>
    public NativeBuffer? Norm { get; }

    /// <summary>[vocabulary, dimension], this rank's rows; on the last stage.</summary>
    public LinearLayer? Output { get; }

    /// <summary>Bytes of the matrices of the layers and of the output that are used in place; a token passes through all of them.</summary>
    public long MappedByteCount => _matrices.Where(matrix => matrix.IsMapped).Sum(matrix => matrix.ByteCount);

    /// <summary>Bytes of all matrices of the layers and of the output.</summary>
    public long MatrixByteCount => _matrices.Sum(matrix => matrix.ByteCount);

    /// <summary>Bytes of the weights that are copies: norms, biases, and matrices that were quantised.</summary>
    public long OwnedByteCount
        => _vectors.Sum(vector => vector.ByteCount) + _matrices.Where(matrix => !matrix.IsMapped).Sum(matrix => matrix.ByteCount);

    /// <summary>The longest arranged input of any layer, in floats.</summary>
    public int MaxPaddedLength
        => Layers.SelectMany(layer => new[]
            {
                layer.QueryKeyValue.InputLayout.PaddedLength,
                layer.AttentionOutput.PaddedLength,
                layer.GateUp.InputLayout.PaddedLength,
                layer.Down.PaddedLength,
            })
            .Append(Output?.InputLayout.PaddedLength ?? 0)
            .Max();

    /// <summary>The greatest number of levels of the trees over segments.</summary>
    public int MaxLevelCount => Layers.Max(layer => Math.Max(layer.AttentionOutput.LevelCount, layer.Down.LevelCount));

    public void Dispose()
    {
        _vectors.ForEach(vector => vector.Dispose());
        _matrices.ForEach(matrix => matrix.Dispose());
    }

    private LlamaLayer Layer(LlamaConfig config, ShardPlan plan, string prefix)
    {
        var width = config.HeadDimension;
        return new LlamaLayer(
            Vector($"{prefix}.attention_norm.weight", config.Dimension),
            Rows(
                ($"{prefix}.attention.wq.weight", plan.Heads, width),
                ($"{prefix}.attention.wk.weight", plan.KeyValueHeads, width),
                ($"{prefix}.attention.wv.weight", plan.KeyValueHeads, width)),
            config.HasQueryKeyValueBias ? Bias(prefix, plan, width) : null,
            config.HasQueryKeyNorm ? Vector($"{prefix}.attention.q_norm.weight", width) : null,
            config.HasQueryKeyNorm ? Vector($"{prefix}.attention.k_norm.weight", width) : null,
            Columns($"{prefix}.attention.wo.weight", plan.Heads, width, plan.AttentionGroupCount),
            Vector($"{prefix}.ffn_norm.weight", config.Dimension),
            Rows(($"{prefix}.feed_forward.w1.weight", plan.Hidden, 1), ($"{prefix}.feed_forward.w3.weight", plan.Hidden, 1)),
            Columns($"{prefix}.feed_forward.w2.weight", plan.Hidden, 1, plan.HiddenGroupCount));
    }

    // Ranges count units: a head of so many rows, a hidden unit or token id of one.
    private LinearLayer Rows(params (string Name, ShardRange Range, int UnitLength)[] matrices)
    {
        return new LinearLayer(
            _kernels,
            _pool,
            [
                .. matrices
                    .SelectMany(part => _tensors(part.Name)
                        .Rows(part.Range.Start * part.UnitLength, part.Range.Count * part.UnitLength)
                        .Select(view => Matrix(view with { Name = part.Name }, groupCount: 1))), // an embedding that is the output too counts as one
            ]);
    }

    private RowParallelLayer Columns(string name, ShardRange range, int unitLength, int groupCount)
    {
        return new RowParallelLayer(
            _kernels,
            _pool,
            _tensors(name),
            range.Start * unitLength,
            range.Count * unitLength,
            groupCount,
            Matrix);
    }

    private WeightMatrix Matrix(MatrixView view, int groupCount)
    {
        MatmulPrecisions.Require(view.Type, _precision, _format);
        WeightMatrix matrix = _format.TypeOf(view.Name) switch
        {
            TensorType.Int8 => new Int8Matrix(view, groupCount, _pool),
            TensorType.Int4 => new Int4Matrix(view, groupCount, _pool),
            _ => WeightMatrix.Create(view, groupCount, _precision == MatmulPrecision.Medium ? _kernels.BFloat16Products : null),
        };
        _matrices.Add(matrix);
        return matrix;
    }

    private unsafe NativeBuffer Vector(string name, int length)
    {
        var buffer = Allocate(length);
        TensorElements.ReadVector(_tensors(name), new Span<float>(buffer.Data, length), start: 0);
        return buffer;
    }

    // The biases of this rank's rows of wq, wk and wv, in their order.
    private unsafe NativeBuffer Bias(string prefix, ShardPlan plan, int width)
    {
        (string Name, ShardRange Heads)[] parts = [("wq", plan.Heads), ("wk", plan.KeyValueHeads), ("wv", plan.KeyValueHeads)];
        var buffer = Allocate(parts.Sum(part => part.Heads.Count * width));
        var bias = new Span<float>(buffer.Data, parts.Sum(part => part.Heads.Count * width));
        foreach (var (name, heads) in parts)
        {
            TensorElements.ReadVector(_tensors($"{prefix}.attention.{name}.bias"), bias[..(heads.Count * width)], heads.Start * width);
            bias = bias[(heads.Count * width)..];
        }

        return buffer;
    }

    private NativeBuffer Allocate(int length)
    {
        var buffer = new NativeBuffer(length);
        _vectors.Add(buffer);
        return buffer;
    }
}
