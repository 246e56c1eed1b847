using Distributed.Engine.Checkpoints;
using Distributed.Engine.Kernels;

namespace Distributed.Engine.Model;

/// <summary>Where the Torch backend computes.</summary>
public enum TorchDeviceKind
{
    /// <summary>The GPU of this rank's number on its host; ranks beyond the last GPU begin again with the first.</summary>
    Cuda,

    /// <summary>libtorch's kernels for the processor.</summary>
    Cpu,
}

/// <summary>The elements of the Torch backend's matrices and of its key-value cache.</summary>
public enum TorchDataType
{
    /// <summary>As the checkpoint has them; float32 where the device cannot multiply those.</summary>
    Stored,

    /// <summary>32 bits.</summary>
    Float32,

    /// <summary>The upper 16 bits of these.</summary>
    BFloat16,

    /// <summary>IEEE 754 binary16.</summary>
    Float16,
}

/// <summary>How matrices of 16 bits are multiplied, in the words of torch.set_float32_matmul_precision.</summary>
public enum TorchPrecision
{
    /// <summary>
    /// Activations and sums as two numbers of 16 bits each, the cache in float32: results within 1e-4 of the managed backend's, for twice the reading.
    /// </summary>
    High,

    /// <summary>Activations, sums and cache rounded to 16 bits, as most engines have them: results within a hundredth.</summary>
    Medium,
}

/// <summary>How sums over ranks that own GPUs travel.</summary>
public enum NcclUse
{
    /// <summary>Over NCCL where that is possible, through host memory otherwise.</summary>
    WherePossible,

    /// <summary>Through host memory.</summary>
    Never,
}

/// <summary>What the Torch backend is asked for. Device and type may differ from rank to rank; sums are float32 either way.</summary>
public sealed record TorchOptions
{
    /// <summary>Where to compute.</summary>
    public TorchDeviceKind Device { get; init; }

    /// <summary>What to compute with.</summary>
    public TorchDataType DataType { get; init; }

    /// <summary>How to multiply.</summary>
    public TorchPrecision Precision { get; init; }

    /// <summary>This rank's number on its host: which GPU is its own.</summary>
    public int LocalRank { get; init; }

    /// <summary>Ranks on this host.</summary>
    public int LocalWorldSize { get; init; } = 1;

    /// <summary>How sums travel.</summary>
    public NcclUse Nccl { get; init; }

    /// <summary>What the matrices are on a device that multiplies every type.</summary>
    /// <param name="stored">How the checkpoint has them.</param>
    internal TensorType TypeOf(TensorType stored) => DataType switch
    {
        TorchDataType.Float32 => TensorType.Float32,
        TorchDataType.BFloat16 => TensorType.BFloat16,
        TorchDataType.Float16 => TensorType.Float16,
        _ => stored,
    };

    /// <summary>As wide as the elements of the key-value cache.</summary>
    /// <param name="stored">How the checkpoint has the matrices.</param>
    internal CacheFormat CacheFormatOf(TensorType stored)
        => Precision == TorchPrecision.Medium && TypeOf(stored) != TensorType.Float32 ? CacheFormat.BFloat16 : CacheFormat.Float32;

    /// <summary>Ranks of this host that have the same GPU as this one, itself included.</summary>
    /// <param name="gpuCount">GPUs of the host, at least 1; rank r has number r modulo this.</param>
    internal int SharersOf(int gpuCount) => (LocalWorldSize - (LocalRank % gpuCount) + gpuCount - 1) / gpuCount;
}
