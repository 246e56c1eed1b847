using Distributed.Engine.Checkpoints;

namespace Distributed.Engine.Model;

/// <summary>The door to the Torch backend, which is compiled only with <c>-p:Torch=…</c>: all that the rest of the engine knows of it.</summary>
public static class TorchSupport
{
    /// <summary>Fails for a checkpoint that the Torch backend cannot compute with.</summary>
    /// <exception cref="CheckpointException">It is quantised.</exception>
    public static void Require(CheckpointSource checkpoint)
    {
        ArgumentNullException.ThrowIfNull(checkpoint);
        if (checkpoint.Quantization is { } type)
        {
            throw new CheckpointException(
                $"The checkpoint is quantised to {type.ToString().ToLowerInvariant()}, which is laid out for --backend managed; use that, or the checkpoint that it was made from.");
        }
    }

#if TORCH
    /// <summary>Why this build has no Torch backend, in one sentence that says how to build it; <see langword="null"/> where it has one.</summary>
    public static string? FindProblem() => null;

    internal static ComputeBackend Create(RankShard shard, TorchOptions options, IProgress<(long Done, long Total)>? progress)
        => new Torch.TorchBackend(shard, options, progress);

    /// <summary>What this rank's GPU has free for it.</summary>
    internal static long FreeByteCount(TorchOptions options, int threadCount) => Torch.TorchDevice.FreeByteCount(options, threadCount);

    /// <summary>How fast the device reads its memory, in GB/s.</summary>
    internal static double MeasureReadBandwidth(TorchOptions options, int threadCount) => Torch.TorchProbe.MeasureReadBandwidth(options, threadCount);
#else
    /// <summary>Why this build has no Torch backend, in one sentence that says how to build it; <see langword="null"/> where it has one.</summary>
    public static string? FindProblem()
        => "The torch backend is not part of this build; build it in with dotnet build -c Release -p:Torch=cuda-linux (cuda-windows or cpu elsewhere).";

    internal static ComputeBackend Create(RankShard shard, TorchOptions options, IProgress<(long Done, long Total)>? progress)
        => throw new BackendException(FindProblem()!);

    /// <summary>What this rank's GPU has free for it.</summary>
    internal static long FreeByteCount(TorchOptions options, int threadCount) => throw new BackendException(FindProblem()!);

    /// <summary>How fast the device reads its memory, in GB/s.</summary>
    internal static double MeasureReadBandwidth(TorchOptions options, int threadCount) => throw new BackendException(FindProblem()!);
#endif
}
