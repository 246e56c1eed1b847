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
        return Even(layerCount, stageCount, (stage, count) => bytes.OfStage(count, isFirst: stage == 0, isLast: stage == stageCount - 1), _ => double.PositiveInfinity)!.Value;
    }

    /// <summary>As <see cref="ByBytes"/>, with weights of any kind and a limit a stage.</summary>
    /// <param name="layerCount">Layers of the model.</param>
    /// <param name="stageCount">Stages, at most as many.</param>
    /// <param name="weight">What a stage weighs with so many layers.</param>
    /// <param name="limit">What a stage may weigh.</param>
    /// <returns>[stage], layers; <see langword="null"/> where nothing keeps within the limits.</returns>
    internal static ImmutableArray<int>? Even(int layerCount, int stageCount, Func<int, int, long> weight, Func<int, double> limit)
    {
        var (largest, any) = Best(layerCount, stageCount, weight, Math.Max, limit);
        return any is null
            ? null
            : Best(layerCount, stageCount, weight, (before, stage) => before + (stage * stage), stage => Math.Min(limit(stage), largest)).Split;
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

    // Dynamic programming over (stages, layers so far).
    private static (double Cost, ImmutableArray<int>? Split) Best(
        int layerCount, int stageCount, Func<int, int, long> weight, Func<double, double, double> combine, Func<int, double> limit)
    {
        var cost = new double[stageCount + 1, layerCount + 1];
        var last = new int[stageCount + 1, layerCount + 1]; // layers of the last of so many stages
        for (var stages = 0; stages <= stageCount; stages++)
        {
            for (var end = stages == 0 ? 1 : 0; end <= layerCount; end++)
            {
                cost[stages, end] = double.PositiveInfinity;
                for (var count = 1; stages > 0 && count <= end; count++)
                {
                    double stage = weight(stages - 1, count);
                    var total = stage <= limit(stages - 1) ? combine(cost[stages - 1, end - count], stage) : double.PositiveInfinity;
                    if (total < cost[stages, end])
                    {
                        (cost[stages, end], last[stages, end]) = (total, count);
                    }
                }
            }
        }

        if (double.IsPositiveInfinity(cost[stageCount, layerCount]))
        {
            return (double.PositiveInfinity, null);
        }

        var split = new int[stageCount];
        for (var (stages, end) = (stageCount, layerCount); stages > 0; stages--)
        {
            split[stages - 1] = last[stages, end];
            end -= last[stages, end];
        }

        return (cost[stageCount, layerCount], [.. split]);
    }
}
