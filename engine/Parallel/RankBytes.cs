using Distributed.Engine.Checkpoints;
using Distributed.Engine.Weights;

namespace Distributed.Engine.Parallel;

/// <summary>Bytes of one rank's part, from shapes alone.</summary>
/// <param name="Layer">Matrices of each layer.</param>
/// <param name="Output">Its rows of the output layer.</param>
/// <param name="LayerPosition">Keys and values of one position of one sequence in one layer.</param>
internal readonly record struct RankBytes(long Layer, long Output, long LayerPosition)
{
    // As KeyValueCache pads a head.
    private const int HeadPadding = 16;

    /// <summary>Computes it.</summary>
    /// <param name="config">The model's shape.</param>
    /// <param name="type">How its elements are stored.</param>
    /// <param name="format">What the matrices are computed with.</param>
    /// <param name="plan">The rank's part.</param>
    public static RankBytes Of(LlamaConfig config, TensorType type, WeightFormat format, ShardPlan plan)
    {
        long dimension = config.Dimension, head = config.HeadDimension, item = StorageType.Of(type).ItemByteCount;
        var layer = (((2L * plan.Heads.Count) + (2L * plan.KeyValueHeads.Count)) * head * dimension) + (3L * plan.Hidden.Count * dimension);
        var output = plan.Vocabulary.Count * dimension;
        var padded = (head + HeadPadding - 1) / HeadPadding * HeadPadding;
        return new RankBytes(
            format switch
            {
                // Blocks of 32 elements with a scale of 16 bits.
                WeightFormat.Int8 => layer * 34 / 32,
                WeightFormat.Int4 => layer * 18 / 32,
                _ => layer * item,
            },
            format == WeightFormat.Stored ? output * item : output * 34 / 32,
            2L * plan.KeyValueHeads.Count * padded * sizeof(float));
    }
}
