using Distributed.Engine.Checkpoints;
using Distributed.Engine.Kernels;
using Distributed.Engine.Weights;

namespace Distributed.Engine.Parallel;

/// <summary>Bytes of a model's matrices, of all ranks of a stage together.</summary>
/// <param name="Embedding">The token embedding, as it is stored.</param>
/// <param name="Layer">Each layer.</param>
/// <param name="Output">The output layer; a copy of the embedding counts too, as the first and the last stage may be on different machines.</param>
public readonly record struct ModelBytes(long Embedding, long Layer, long Output)
{
    /// <summary>From shapes alone.</summary>
    /// <param name="config">The model's shape.</param>
    /// <param name="type">How its elements are stored.</param>
    /// <param name="format">What the matrices are computed with.</param>
    public static ModelBytes Of(LlamaConfig config, TensorType type, WeightFormat format = WeightFormat.Stored)
    {
        ArgumentNullException.ThrowIfNull(config);
        var all = RankBytes.Of(config, type, format, CacheFormat.Float32, ShardPlan.Create(config, worldSize: 1, rank: 0));
        var embedding = type is TensorType.Int8 or TensorType.Int4 ? TensorType.BFloat16 : type; // a quantised checkpoint has it as it was, in 16 bits as a rule
        return new ModelBytes((long)config.VocabularySize * config.Dimension * StorageType.Of(embedding).ItemByteCount, all.Layer, all.Output);
    }

    /// <summary>Bytes of a stage of so many layers.</summary>
    public long OfStage(int layerCount, bool isFirst, bool isLast) => (layerCount * Layer) + (isFirst ? Embedding : 0) + (isLast ? Output : 0);
}
