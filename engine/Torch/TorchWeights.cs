using Distributed.Engine.Checkpoints;
using Distributed.Engine.Model;
using Distributed.Engine.Weights;
using static TorchSharp.torch;

namespace Distributed.Engine.Torch;

/// <summary>One layer's weights on this rank's device; vectors are float32.</summary>
/// <param name="AttentionNorm">[dimension]</param>
/// <param name="QueryKeyValue">wq, wk, wv of this rank's heads, one above the other; <see langword="null"/> where it has none.</param>
/// <param name="QueryKeyValueBias">Added to it; <see langword="null"/> where the model has none.</param>
/// <param name="QueryKeyNorm">[heads + key-value heads, head dimension]; <see langword="null"/> where the model has none.</param>
/// <param name="AttentionOutput">wo: [dimension, heads x head dimension]; <see langword="null"/> likewise.</param>
/// <param name="FeedForwardNorm">[dimension]</param>
/// <param name="GateUp">w1 above w3: [2 x hidden, dimension]; <see langword="null"/> where this rank has no hidden units.</param>
/// <param name="Down">w2: [dimension, hidden]; likewise.</param>
internal sealed record TorchLayer(
    Tensor AttentionNorm,
    TorchLinear? QueryKeyValue,
    Tensor? QueryKeyValueBias,
    Tensor? QueryKeyNorm,
    TorchLinear? AttentionOutput,
    Tensor FeedForwardNorm,
    TorchLinear? GateUp,
    TorchLinear? Down) : IDisposable
{
    /// <summary>Bytes of the matrices.</summary>
    public long MatrixByteCount
        => (QueryKeyValue?.ByteCount ?? 0) + (AttentionOutput?.ByteCount ?? 0) + (GateUp?.ByteCount ?? 0) + (Down?.ByteCount ?? 0);

    public void Dispose()
    {
        foreach (var part in (IDisposable?[])[AttentionNorm, QueryKeyValue, QueryKeyValueBias, QueryKeyNorm, AttentionOutput, FeedForwardNorm, GateUp, Down])
        {
            part?.Dispose();
        }
    }
}

/// <summary>This rank's weights on its device. The embedding stays in the mapped files: of it a step reads the rows of its tokens.</summary>
internal sealed class TorchWeights : IDisposable
{
    private readonly RankShard _shard;
    private readonly TorchHeads _heads;
    private readonly TorchLoader _loader;
    private readonly List<TorchLayer> _layers = [];

    /// <param name="shard">This rank's part.</param>
    /// <param name="heads">Its heads.</param>
    /// <param name="device">Where the weights go.</param>
    /// <param name="progress">Told of the layers that are there, of all.</param>
    public TorchWeights(RankShard shard, TorchHeads heads, TorchDevice device, IProgress<(long Done, long Total)>? progress)
    {
        (_shard, _heads, _loader) = (shard, heads, new TorchLoader(device));
        try
        {
            var (config, plan) = (shard.Config, shard.Plan);
            Embedding = plan.IsFirstStage ? new EmbeddingTable(shard.Tensors(LlamaTensors.Embedding)) : null;
            for (var index = 0; index < plan.Layers.Count; index++)
            {
                _layers.Add(Layer($"layers.{plan.Layers.Start + index}"));
                progress?.Report((index + 1, plan.Layers.Count + 1));
            }

            if (plan.IsLastStage)
            {
                Norm = _loader.Vector(TorchLoader.Read(shard.Tensors("norm.weight"), 0, config.Dimension), config.Dimension);
                Output = _loader.Matrix([.. shard.Tensors(LlamaTensors.Output).Rows(plan.Vocabulary.Start, plan.Vocabulary.Count)], areRows: true);
            }

            progress?.Report((plan.Layers.Count + 1, plan.Layers.Count + 1));
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>On the first stage.</summary>
    public EmbeddingTable? Embedding { get; }

    /// <summary>[layer of this stage]</summary>
    public IReadOnlyList<TorchLayer> Layers => _layers;

    /// <summary>[dimension], on the last stage.</summary>
    public Tensor? Norm { get; }

    /// <summary>This rank's rows of the output, on the last stage.</summary>
    public TorchLinear? Output { get; }

    /// <summary>Bytes of all matrices.</summary>
    public long MatrixByteCount => _layers.Sum(layer => layer.MatrixByteCount) + (Output?.ByteCount ?? 0);

    public void Dispose()
    {
        _layers.ForEach(layer => layer.Dispose());
        Norm?.Dispose();
        Output?.Dispose();
    }

    private TorchLayer Layer(string prefix)
    {
        var (config, plan) = (_shard.Config, _shard.Plan);
        return new TorchLayer(
            ReadNorm($"{prefix}.attention_norm.weight"),
            plan.Heads.Count == 0 ? null : _loader.Matrix([.. HeadRows($"{prefix}.attention.wq.weight", $"{prefix}.attention.wk.weight", $"{prefix}.attention.wv.weight")], areRows: true),
            plan.Heads.Count > 0 && config.HasQueryKeyValueBias ? Bias(prefix) : null,
            plan.Heads.Count > 0 && config.HasQueryKeyNorm ? HeadNorms(prefix) : null,
            Columns($"{prefix}.attention.wo.weight", plan.Heads.Start * config.HeadDimension, plan.Heads.Count * config.HeadDimension),
            ReadNorm($"{prefix}.ffn_norm.weight"),
            plan.Hidden.Count == 0 ? null : _loader.Matrix(
                [
                    .. _shard.Tensors($"{prefix}.feed_forward.w1.weight").Rows(plan.Hidden.Start, plan.Hidden.Count),
                    .. _shard.Tensors($"{prefix}.feed_forward.w3.weight").Rows(plan.Hidden.Start, plan.Hidden.Count),
                ],
                areRows: true),
            Columns($"{prefix}.feed_forward.w2.weight", plan.Hidden.Start, plan.Hidden.Count));
    }

    private Tensor ReadNorm(string name) => _loader.Vector(TorchLoader.Read(_shard.Tensors(name), 0, _shard.Config.Dimension), _shard.Config.Dimension);

    private TorchLinear? Columns(string name, int start, int count)
        => count == 0 ? null : _loader.Matrix([.. _shard.Tensors(name).Columns(start, count)], areRows: false);

    // Rows of the query heads, then of the key and of the value heads, in the order in which attention wants them.
    private IEnumerable<MatrixView> HeadRows(string query, string key, string value)
    {
        var width = _shard.Config.HeadDimension;
        return _shard.Tensors(query).Rows(_shard.Plan.Heads.Start * width, _shard.Plan.Heads.Count * width)
            .Concat(_heads.KeyValueHeads.SelectMany(head => _shard.Tensors(key).Rows(head * width, width)))
            .Concat(_heads.KeyValueHeads.SelectMany(head => _shard.Tensors(value).Rows(head * width, width)));
    }

    private Tensor Bias(string prefix)
    {
        var width = _shard.Config.HeadDimension;
        float[] values =
        [
            .. TorchLoader.Read(_shard.Tensors($"{prefix}.attention.wq.bias"), _shard.Plan.Heads.Start * width, _shard.Plan.Heads.Count * width),
            .. _heads.KeyValueHeads.SelectMany(head => TorchLoader.Read(_shard.Tensors($"{prefix}.attention.wk.bias"), head * width, width)),
            .. _heads.KeyValueHeads.SelectMany(head => TorchLoader.Read(_shard.Tensors($"{prefix}.attention.wv.bias"), head * width, width)),
        ];
        return _loader.Vector(values, values.Length);
    }

    // One row a head, so that queries and keys are normalised together.
    private Tensor HeadNorms(string prefix)
    {
        var width = _shard.Config.HeadDimension;
        var query = TorchLoader.Read(_shard.Tensors($"{prefix}.attention.q_norm.weight"), 0, width);
        var key = TorchLoader.Read(_shard.Tensors($"{prefix}.attention.k_norm.weight"), 0, width);
        float[] values =
        [
            .. Enumerable.Repeat(query, _shard.Plan.Heads.Count).SelectMany(row => row),
            .. Enumerable.Repeat(key, _heads.KeyValueHeads.Count).SelectMany(row => row),
        ];
        return _loader.Vector(values, values.Length / width, width);
    }
}
