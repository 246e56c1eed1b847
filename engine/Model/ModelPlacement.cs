using Distributed.Engine.Checkpoints;
using Distributed.Engine.Parallel;

namespace Distributed.Engine.Model;

/// <summary>Places a checkpoint's layers on the ranks before any weight is read.</summary>
public static class ModelPlacement
{
    /// <summary>
    /// What the device of a rank has left for it: of a GPU its free memory, shared with the other ranks that have the same one; of the processor the rank's share of the machine's
    /// free memory.
    /// </summary>
    /// <param name="options">Which backend, and of a GPU the rank's number on this machine.</param>
    /// <param name="localRankCount">Ranks of this machine.</param>
    /// <exception cref="BackendException">The GPU is missing, or does not say what it has.</exception>
    public static long FreeByteCount(LlamaModelOptions options, int localRankCount)
    {
        ArgumentNullException.ThrowIfNull(options);
        return options.Torch is { Device: TorchDeviceKind.Cuda } torch
            ? TorchSupport.FreeByteCount(torch, options.ThreadCount)
            : HostMemory.FreeByteCount / Math.Max(1, localRankCount);
    }

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
        var stored = mapped[LlamaTensors.FirstMatrix].Type;
        return DeviceMap.Create(
            checkpoint.Config,
            options.Torch?.TypeOf(stored) ?? stored,
            options.WeightFormat,
            (long)options.CacheBlockCount * KeyValueCache.BlockLength,
            options.Mesh ?? ModelMesh.OneStage(free.Length),
            policy,
            free,
            options.Torch?.CacheFormatOf(stored) ?? options.CacheFormat);
    }
}
