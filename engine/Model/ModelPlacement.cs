using Distributed.Engine.Checkpoints;
using Distributed.Engine.Parallel;

namespace Distributed.Engine.Model;

/// <summary>Places a checkpoint's layers on the ranks before any weight is read.</summary>
public static class ModelPlacement
{
    /// <summary>What the device of a rank has left for it: of the processor, the rank's share of the machine's free memory.</summary>
    /// <param name="localRankCount">Ranks of this machine.</param>
    public static long FreeByteCount(int localRankCount) => HostMemory.FreeByteCount / Math.Max(1, localRankCount);

    /// <summary>Makes the map.</summary>
    /// <param name="checkpoint">The whole checkpoint.</param>
    /// <param name="options">Sizes and mesh.</param>
    /// <param name="policy">How.</param>
    /// <param name="free">[rank], <see cref="FreeByteCount"/> of each.</param>
    /// <returns>The map; or a sentence with the numbers where the model does not fit.</returns>
    /// <exception cref="CheckpointException">The files cannot be mapped, or have fewer layers than there are stages.</exception>
    public static (DeviceMap? Map, string? Problem) Create(
        CheckpointSource checkpoint, LlamaModelOptions options, DeviceMapPolicy policy, ReadOnlySpan<long> free)
    {
        ArgumentNullException.ThrowIfNull(checkpoint);
        ArgumentNullException.ThrowIfNull(options);
        using var mapped = checkpoint.Map();
        return DeviceMap.Create(
            checkpoint.Config,
            mapped[LlamaTensors.FirstMatrix].Type,
            options.WeightFormat,
            (long)options.CacheBlockCount * KeyValueCache.BlockLength,
            options.Mesh ?? ModelMesh.OneStage(free.Length),
            policy,
            free,
            options.CacheFormat);
    }
}
