using Distributed.Engine.Checkpoints;
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
        long dimension = config.Dimension, head = config.HeadDimension, item = StorageType.Of(type).ItemByteCount;
        var layer = ((2L * config.HeadCount) + (2L * config.KeyValueHeadCount)) * head * dimension;
        layer += 3L * config.HiddenDimension * dimension;
        var table = config.VocabularySize * dimension;
        return format switch
        {
            // Blocks of 32 elements with a scale of 16 bits.
            WeightFormat.Int8 => new ModelBytes(table * item, layer * 34 / 32, table * 34 / 32),
            WeightFormat.Int4 => new ModelBytes(table * item, layer * 18 / 32, table * 34 / 32),
            _ => new ModelBytes(table * item, layer * item, table * item),
        };
    }

    /// <summary>Bytes of a stage of so many layers.</summary>
    public long OfStage(int layerCount, bool isFirst, bool isLast) => (layerCount * Layer) + (isFirst ? Embedding : 0) + (isLast ? Output : 0);
}
