using Distributed.Engine.Model;
using Distributed.Engine.Nccl;
using static TorchSharp.torch;

namespace Distributed.Engine.Torch;

/// <summary>
/// Sums over ranks of what lies on the device: over NCCL where the ranks agreed on it, otherwise through host memory and the process group, whose sums
/// are canonical.
/// </summary>
internal sealed class TorchSums(StepCollectives collectives, TorchTransfer transfer) : IDisposable
{
    private NcclCommunicator? _nccl;

    /// <summary>Whether this TorchSharp gives pointers to tensors, without which NCCL cannot read them.</summary>
    public static bool HasPointers
#if TENSOR_POINTERS
        => true;
#else
        => false;
#endif

    /// <summary>From now on sums go from GPU to GPU.</summary>
    public void Use(NcclCommunicator nccl) => _nccl = nccl;

    /// <summary>Puts the sum of all ranks' parts in the place of this one's.</summary>
    /// <param name="part">[token, dimension] float32, contiguous.</param>
    /// <param name="operation">What it is.</param>
    /// <param name="layer">Of the model.</param>
    public void AllReduce(Tensor part, StepOperation operation, int layer)
    {
        if (collectives.StageSize == 1)
        {
            return;
        }

        if (_nccl is not null)
        {
            // The default stream, on which libtorch computes: what comes before and after waits by itself.
            _nccl.AllReduce(Pointer(part), part.NumberOfElements);
            return;
        }

        transfer.Change(part, (collectives, operation, layer), static (values, step) => step.collectives.AllReduce(values, step.operation, step.layer));
    }

    public void Dispose() => _nccl?.Dispose();

#if TENSOR_POINTERS
    private static nint Pointer(Tensor tensor)
    {
        using var storage = tensor.storage<float>();
        return storage.data_ptr() + (nint)(tensor.storage_offset() * sizeof(float));
    }
#else
    private static nint Pointer(Tensor tensor) => throw new NotSupportedException("This TorchSharp gives no pointers to tensors.");
#endif
}
