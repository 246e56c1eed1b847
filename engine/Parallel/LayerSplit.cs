using System.Collections.Immutable;
using Distributed.Engine.Checkpoints;

namespace Distributed.Engine.Parallel;

/// <summary>How many layers each stage of a pipeline has.</summary>
public static class LayerSplit
{
    /// <summary>
    /// The split whose largest stage is as small as can be, and among these the one of least squares, which has no needlessly uneven stages. Every stage has a
    /// layer at least.
    /// </summary>
    /// <param name="bytes">What each part of the model weighs; the embedding is the first stage's, the output layer the last one's.</param>
    /// <param name="layerCount">Layers of the model.</param>
    /// <param name="stageCount">Stages, at most as many.</param>
    /// <returns>[stage], layers.</returns>
    /// <exception cref="CheckpointException">There are more stages than layers.</exception>
    public static ImmutableArray<int> ByBytes(ModelBytes bytes, int layerCount, int stageCount)
    {
        RequireStages(layerCount, stageCount);
        var limit = Best(bytes, layerCount, stageCount, (before, stage) => Math.Max(before, stage), double.PositiveInfinity).Cost;
        return Best(bytes, layerCount, stageCount, (before, stage) => before + (stage * stage), limit).Split;
    }

    /// <summary>Fails where there are more stages than layers.</summary>
    /// <exception cref="CheckpointException">There are more stages than layers.</exception>
    public static void RequireStages(int layerCount, int stageCount)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(stageCount);
        if (stageCount > layerCount)
        {
            throw new CheckpointException($"The model's {layerCount} layers cannot be divided among {stageCount} pipeline stages; use pp of at most {layerCount}.");
        }
    }

    /// <summary>A clause that says why <paramref name="split"/> does not fit; <see langword="null"/> where it does.</summary>
    /// <param name="split">[stage], layers.</param>
    /// <param name="layerCount">Layers of the model.</param>
    /// <param name="stageCount">Stages.</param>
    public static string? FindMistake(ImmutableArray<int> split, int layerCount, int stageCount)
        => split.Length != stageCount ? $"names {split.Length} stages, and there are {stageCount}"
            : split.Any(count => count < 1) ? "has a stage without a layer; each has one at least"
            : split.Sum(count => (long)count) != layerCount ? $"has {split.Sum(count => (long)count)} layers, and the model has {layerCount}"
            : null;

    /// <summary>The layers of a stage.</summary>
    public static ShardRange LayersOf(ImmutableArray<int> split, int stage) => new(split.Take(stage).Sum(), split[stage]);

    // Dynamic programming over (stages, layers so far); a stage may not exceed the limit.
    private static (ImmutableArray<int> Split, double Cost) Best(
        ModelBytes bytes, int layerCount, int stageCount, Func<double, double, double> combine, double limit)
    {
        var cost = new double[stageCount + 1, layerCount + 1];
        var last = new int[stageCount + 1, layerCount + 1]; // layers of the last stage
        for (var end = 1; end <= layerCount; end++)
        {
            cost[0, end] = double.PositiveInfinity;
        }

        for (var stages = 1; stages <= stageCount; stages++)
        {
            cost[stages, 0] = double.PositiveInfinity;
            for (var end = 1; end <= layerCount; end++)
            {
                cost[stages, end] = double.PositiveInfinity;
                for (var count = 1; count <= end; count++)
                {
                    double weight = bytes.OfStage(count, isFirst: stages == 1, isLast: stages == stageCount);
                    var total = weight <= limit ? combine(cost[stages - 1, end - count], weight) : double.PositiveInfinity;
                    if (total < cost[stages, end])
                    {
                        (cost[stages, end], last[stages, end]) = (total, count);
                    }
                }
            }
        }

        var split = new int[stageCount];
        for (var (stages, end) = (stageCount, layerCount); stages > 0; stages--)
        {
            split[stages - 1] = last[stages, end];
            end -= last[stages, end];
        }

        return ([.. split], cost[stageCount, layerCount]);
    }
}
