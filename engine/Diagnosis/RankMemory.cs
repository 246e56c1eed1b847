using Distributed.Engine.Checkpoints;
using Distributed.Engine.Kernels;
using Distributed.Engine.Model;
using Distributed.Engine.Parallel;
using Distributed.Engine.Weights;

namespace Distributed.Engine.Diagnosis;

/// <summary>What the ranks of a world size keep in memory and read for a token, from shapes alone.</summary>
/// <param name="WorldSize">The number of ranks.</param>
/// <param name="WeightByteCount">
/// Of the rank that has most: its matrices, used in place in the mapped files or quantised from them. Of the embedding no rank has a part of its own: rows
/// are read as tokens come.
/// </param>
/// <param name="CacheByteCount">Of that rank: keys and values of all positions that the cache holds.</param>
/// <param name="TotalWeightByteCount">Of all ranks together, which repeat key-value heads where they outnumber them.</param>
/// <param name="TotalWeightCount">The weights of these bytes.</param>
/// <param name="TotalPositionByteCount">Of all ranks together: keys and values of one position of one row, which each later token reads.</param>
public sealed record RankMemory(
    int WorldSize, long WeightByteCount, long CacheByteCount, long TotalWeightByteCount, long TotalWeightCount, long TotalPositionByteCount)
{
    /// <summary>Weights and cache of the rank that has most.</summary>
    public long ByteCount => WeightByteCount + CacheByteCount;

    /// <summary>Computes it.</summary>
    /// <param name="config">The model's shape.</param>
    /// <param name="type">How its matrices are stored.</param>
    /// <param name="options">What they are computed with, and the size of the cache.</param>
    /// <param name="worldSize">The number of ranks.</param>
    /// <exception cref="CheckpointException">There are more ranks than token ids.</exception>
    public static RankMemory Of(LlamaConfig config, TensorType type, LlamaModelOptions options, int worldSize)
        => Of(config, type, options, ModelMesh.OneStage(worldSize));

    /// <summary>As the other one, with pipeline stages of about equal bytes.</summary>
    /// <exception cref="CheckpointException">There are more ranks of a stage than token ids, or more stages than layers.</exception>
    public static RankMemory Of(LlamaConfig config, TensorType type, LlamaModelOptions options, ModelMesh mesh)
    {
        ArgumentNullException.ThrowIfNull(config);
        ArgumentNullException.ThrowIfNull(options);
        ArgumentNullException.ThrowIfNull(mesh);
        var split = LayerSplit.ByBytes(ModelBytes.Of(config, type, options.WeightFormat), config.LayerCount, mesh.StageCount);
        var plans = Enumerable.Range(0, mesh.WorldSize)
            .Select(rank => ShardPlan.Create(config, mesh.StageSize, mesh.IndexOf(rank), LayerSplit.LayersOf(split, mesh.StageOf(rank))))
            .ToArray();
        var positions = (long)options.CacheBlockCount * KeyValueCache.BlockLength;
        var largest = plans.MaxBy(plan => Weights(plan) + (positions * PositionBytes(plan)))!; // at least one rank
        return new RankMemory(
            mesh.WorldSize,
            Weights(largest),
            positions * PositionBytes(largest),
            plans.Sum(Weights),
            plans.Sum(plan => WeightBytes(config, TensorType.Float32, WeightFormat.Stored, plan)) / sizeof(float),
            plans.Sum(PositionBytes));

        long Weights(ShardPlan plan) => WeightBytes(config, type, options.WeightFormat, plan);

        long PositionBytes(ShardPlan plan)
            => plan.Layers.Count * RankBytes.Of(config, type, options.WeightFormat, options.CacheFormat, plan).LayerPosition;
    }

    /// <summary>Bytes that all ranks together read for one token of one row at a position.</summary>
    public long TokenByteCount(int position) => TotalWeightByteCount + (position * TotalPositionByteCount);

    private static long WeightBytes(LlamaConfig config, TensorType type, WeightFormat format, ShardPlan plan)
    {
        var bytes = RankBytes.Of(config, type, format, CacheFormat.Float32, plan);
        return (plan.Layers.Count * bytes.Layer) + (plan.IsLastStage ? bytes.Output : 0);
    }
}
