using Distributed.Engine.Checkpoints;
using Distributed.Engine.Kernels;
using Distributed.Engine.Weights;

namespace Distributed.Engine.Parallel;

/// <summary>Bytes of one rank's part, from shapes alone.</summary>
/// <param name="Layer">Matrices of each layer.</param>
/// <param name="Output">Its rows of the output layer.</param>
/// <param name="LayerPosition">Keys and values of one position of one sequence in one layer.</param>
internal readonly record struct RankBytes(long Layer, long Output, long LayerPosition)
{
    /// <summary>Computes it.</summary>
    /// <param name="config">The model's shape.</param>
    /// <param name="type">How its matrices are stored.</param>
    /// <param name="format">What they are computed with.</param>
    /// <param name="cache">What keys and values are kept as.</param>
    /// <param name="plan">The rank's part.</param>
    public static RankBytes Of(LlamaConfig config, TensorType type, WeightFormat format, CacheFormat cache, ShardPlan plan)
    {
        var (dimension, width) = (config.Dimension, config.HeadDimension);
        var computed = format.Type() ?? type;
        return new RankBytes(
            Matrix(plan.Heads.Count * width, dimension, 1)
            + (2 * Matrix(plan.KeyValueHeads.Count * width, dimension, 1))
            + Matrix(dimension, plan.Heads.Count * width, plan.AttentionGroupCount)
            + (2 * Matrix(plan.Hidden.Count, dimension, 1))
            + Matrix(dimension, plan.Hidden.Count, plan.HiddenGroupCount),
            Matrix(plan.Vocabulary.Count, dimension, 1, LlamaTensors.Output),
            2L * plan.KeyValueHeads.Count * new CacheLayout(cache, width).HeadByteCount / CacheLayout.BlockLength);

        long Matrix(int rows, int columns, int groups, string name = "")
            => rows == 0 || columns == 0 ? 0
                : computed is TensorType.Int8 or TensorType.Int4 ? new BlockShape(BlockShape.TypeOf(name, computed), rows, columns, groups).ByteCount
                : (long)rows * columns * StorageType.Of(computed).ItemByteCount;
    }
}
