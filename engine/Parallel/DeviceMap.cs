using System.Collections.Immutable;
using System.Globalization;
using Distributed.Engine.Checkpoints;
using Distributed.Engine.Kernels;
using Distributed.Engine.Weights;

namespace Distributed.Engine.Parallel;

/// <summary>Which layers are where, and what they take of the memory there.</summary>
/// <param name="LayersPerStage">[stage], layers.</param>
/// <param name="Lines">A line a stage, for the user.</param>
public sealed record DeviceMap(ImmutableArray<int> LayersPerStage, IReadOnlyList<string> Lines)
{
    // What a rank needs beside weights and cache: the program, activations, messages.
    private const long ReservedByteCount = 128L << 20;

    /// <summary>Places a model's layers by the memory that its ranks have.</summary>
    /// <param name="config">The model's shape.</param>
    /// <param name="type">How its elements are stored.</param>
    /// <param name="format">What the matrices are computed with.</param>
    /// <param name="positionCount">Positions that the key-value cache holds, of all sequences together.</param>
    /// <param name="mesh">Pipeline stages and the ranks of each.</param>
    /// <param name="policy">How.</param>
    /// <param name="free">[rank], bytes that its device has left for it.</param>
    /// <param name="cache">What keys and values are kept as.</param>
    /// <returns>The map; or a sentence with the numbers where the model does not fit.</returns>
    /// <exception cref="CheckpointException">There are more ranks of a stage than token ids, or more stages than layers.</exception>
    public static (DeviceMap? Map, string? Problem) Create(
        LlamaConfig config, TensorType type, WeightFormat format, long positionCount, ModelMesh mesh, DeviceMapPolicy policy, ReadOnlySpan<long> free,
        CacheFormat cache = CacheFormat.Float32)
    {
        ArgumentNullException.ThrowIfNull(config);
        ArgumentNullException.ThrowIfNull(mesh);
        ArgumentOutOfRangeException.ThrowIfNotEqual(free.Length, mesh.WorldSize, nameof(free));
        LayerSplit.RequireStages(config.LayerCount, mesh.StageCount);
        var stages = new Stage[mesh.StageCount];
        var bytes = Largest(config, type, format, cache, mesh.StageSize);
        var embedding = ModelBytes.Of(config, type, format).Embedding / mesh.StageSize; // which its ranks read in the same pages
        for (var stage = 0; stage < stages.Length; stage++)
        {
            var least = long.MaxValue;
            foreach (var rank in mesh.RanksOf(stage))
            {
                least = Math.Min(least, free[rank]);
            }

            var fixedBytes = (stage == 0 ? embedding : 0) + (stage == stages.Length - 1 ? bytes.Output : 0);
            stages[stage] = new Stage(fixedBytes, bytes.Layer, bytes.LayerPosition * positionCount, least);
        }

        var split = policy switch
        {
            DeviceMapPolicy.Sequential => Sequential(stages, config.LayerCount),
            DeviceMapPolicy.Balanced => LayerSplit.Even(config.LayerCount, stages.Length, (stage, count) => stages[stage].Need(count), _ => double.PositiveInfinity),
            _ => LayerSplit.Even(config.LayerCount, stages.Length, (stage, count) => stages[stage].Need(count), stage => stages[stage].Free),
        };
        if (split is null || stages.Index().FirstOrDefault(stage => stage.Item.Need(split.Value[stage.Index]) > stage.Item.Free) is { Item: not null } tooLarge)
        {
            return (null, Refusal(stages, config.LayerCount, mesh, policy, split));
        }

        return (new DeviceMap(split.Value, [.. stages.Select((_, stage) => Line(stages, stage, split.Value, mesh))]), null);
    }

    // The rank that has most stands for all of its stage.
    private static RankBytes Largest(LlamaConfig config, TensorType type, WeightFormat format, CacheFormat cache, int stageSize)
        => Enumerable.Range(0, stageSize)
            .Select(rank => RankBytes.Of(config, type, format, cache, ShardPlan.Create(config, stageSize, rank)))
            .Aggregate((one, other) => new RankBytes(
                Math.Max(one.Layer, other.Layer), Math.Max(one.Output, other.Output), Math.Max(one.LayerPosition, other.LayerPosition)));

    private static ImmutableArray<int>? Sequential(Stage[] stages, int layerCount)
    {
        var split = new int[stages.Length];
        for (var stage = 0; stage < stages.Length; stage++)
        {
            var most = layerCount - (stages.Length - 1 - stage); // one for each that follows
            while (split[stage] < most && stages[stage].Need(split[stage] + 1) <= stages[stage].Free)
            {
                split[stage]++;
            }

            layerCount -= split[stage];
            if (split[stage] == 0)
            {
                return null;
            }
        }

        return layerCount == 0 ? [.. split] : null;
    }

    private static string Line(Stage[] stages, int stage, ImmutableArray<int> split, ModelMesh mesh)
    {
        var (layers, of) = (LayerSplit.LayersOf(split, stage), stages[stage]);
        var parts = (stage == 0 ? "embedding, " : "") + (layers.Count == 1 ? $"layer {layers.Start}" : $"layers {layers.Start}-{layers.End - 1}")
            + (stage == stages.Length - 1 ? ", output" : "");
        return $"stage {stage} ({Ranks(mesh, stage)}): {parts} | {Size(of.Fixed + (layers.Count * of.Layer))} of weights, "
            + $"{Size(layers.Count * of.LayerCache)} of cache{Each(mesh)} | {Size(of.Free)} free";
    }

    private static string Refusal(Stage[] stages, int layerCount, ModelMesh mesh, DeviceMapPolicy policy, ImmutableArray<int>? split)
    {
        var weights = stages.Sum(stage => stage.Fixed) + (layerCount * stages[0].Layer);
        var cache = layerCount * stages[0].LayerCache;
        var where = split is { } counts
            ? string.Join("", stages.Select((stage, index) => (Need: stage.Need(counts[index]), stage.Free, Index: index)).Where(stage => stage.Need > stage.Free)
                .Take(1).Select(stage => $"stage {stage.Index} ({Ranks(mesh, stage.Index)}) would need {Size(stage.Need)}{Each(mesh)} for {counts[stage.Index]} layers and has {Size(stage.Free)} free"))
            : $"its {stages.Length} {(stages.Length == 1 ? "stage has" : "stages have")} {string.Join(" + ", stages.Select(stage => Size(stage.Free)))} free{Each(mesh)}";
        var next = policy == DeviceMapPolicy.Balanced && stages.Length > 1 ? "use --device-map auto, which gives more to who has more, " : "";
        return $"--device-map {policy.ToString().ToLowerInvariant()} cannot place the model: it has {Size(weights)} of weights and {Size(cache)} of cache{Each(mesh)}, and {where}; "
            + $"{next}add machines, lower --max-seq-len or --max-batch-size, or use --dtype or --cache-dtype.";
    }

    private static string Ranks(ModelMesh mesh, int stage)
        => (mesh.StageSize == 1 ? "rank " : "ranks ") + string.Join(", ", mesh.RanksOf(stage));

    private static string Each(ModelMesh mesh) => mesh.StageSize == 1 ? "" : " a rank";

    private static string Size(long byteCount) => byteCount < 1L << 30
        ? string.Create(CultureInfo.InvariantCulture, $"{byteCount / (double)(1L << 20):0.0} MiB")
        : string.Create(CultureInfo.InvariantCulture, $"{byteCount / (double)(1L << 30):0.00} GiB");

    // Bytes of a rank of the stage that has most.
    private sealed record Stage(long Fixed, long Layer, long LayerCache, long Free)
    {
        public long Need(int layerCount) => ReservedByteCount + Fixed + (layerCount * (Layer + LayerCache));
    }
}
