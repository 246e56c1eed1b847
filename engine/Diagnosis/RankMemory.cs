using Distributed.Engine.Checkpoints;
using Distributed.Engine.Model;
using Distributed.Engine.Parallel;
using Distributed.Engine.Weights;

namespace Distributed.Engine.Diagnosis;

/// <summary>What the ranks of a world size keep in memory and read for a token, from shapes alone.</summary>
/// <param name="WorldSize">The number of ranks.</param>
/// <param name="WeightByteCount">
/// Of the rank that has most: its matrices, used in place in the mapped files. Of the embedding no rank has a part of its own: rows are read
/// as tokens come.
/// </param>
/// <param name="CacheByteCount">Of that rank: keys and values of all positions of all rows, float32.</param>
/// <param name="TotalWeightByteCount">Of all ranks together, which repeat key-value heads where they outnumber them.</param>
/// <param name="TotalPositionByteCount">Of all ranks together: keys and values of one position of one row, which each later token reads.</param>
public sealed record RankMemory(int WorldSize, long WeightByteCount, long CacheByteCount, long TotalWeightByteCount, long TotalPositionByteCount)
{
    /// <summary>Weights and cache of the rank that has most.</summary>
    public long ByteCount => WeightByteCount + CacheByteCount;

    /// <summary>Computes it.</summary>
    /// <param name="config">The model's shape.</param>
    /// <param name="type">How its elements are stored.</param>
    /// <param name="worldSize">The number of ranks.</param>
    /// <param name="maxSequenceLength">Positions of a row.</param>
    /// <param name="maxBatchSize">Rows.</param>
    /// <exception cref="CheckpointException">There are more ranks than token ids.</exception>
    public static RankMemory Of(LlamaConfig config, TensorType type, int worldSize, int maxSequenceLength, int maxBatchSize)
        => Of(config, type, ModelMesh.OneStage(worldSize), maxSequenceLength, maxBatchSize);

    /// <summary>As the other one, with pipeline stages of about equal bytes.</summary>
    /// <exception cref="CheckpointException">There are more ranks of a stage than token ids, or more stages than layers.</exception>
    public static RankMemory Of(LlamaConfig config, TensorType type, ModelMesh mesh, int maxSequenceLength, int maxBatchSize)
    {
        ArgumentNullException.ThrowIfNull(config);
        ArgumentNullException.ThrowIfNull(mesh);
        var split = LayerSplit.ByBytes(ModelBytes.Of(config, type), config.LayerCount, mesh.StageCount);
        var plans = Enumerable.Range(0, mesh.WorldSize)
            .Select(rank => ShardPlan.Create(config, mesh.StageSize, mesh.IndexOf(rank), LayerSplit.LayersOf(split, mesh.StageOf(rank))))
            .ToArray();
        var positions = (long)KeyValueCache.BlocksFor(maxSequenceLength) * KeyValueCache.BlockLength * maxBatchSize;
        var largest = plans.MaxBy(plan => WeightBytes(config, type, plan) + (positions * PositionBytes(config, plan)))!; // at least one rank
        return new RankMemory(
            mesh.WorldSize,
            WeightBytes(config, type, largest),
            positions * PositionBytes(config, largest),
            plans.Sum(plan => WeightBytes(config, type, plan)),
            plans.Sum(plan => PositionBytes(config, plan)));
    }

    /// <summary>Bytes that all ranks together read for one token of one row at a position.</summary>
    public long TokenByteCount(int position) => TotalWeightByteCount + (position * TotalPositionByteCount);

    private static long WeightBytes(LlamaConfig config, TensorType type, ShardPlan plan)
    {
        var bytes = RankBytes.Of(config, type, WeightFormat.Stored, plan);
        return (plan.Layers.Count * bytes.Layer) + (plan.IsLastStage ? bytes.Output : 0);
    }

    private static long PositionBytes(LlamaConfig config, ShardPlan plan)
        => plan.Layers.Count * RankBytes.Of(config, TensorType.Float32, WeightFormat.Stored, plan).LayerPosition;
}
