using Distributed.Engine.Checkpoints;
using Distributed.Engine.Model;
using Distributed.Engine.Tests.Model;

namespace Distributed.Engine.Tests.Torch;

/// <summary>
/// The Torch backend, on the processor, or on a GPU, which the ranks of a test share, with DISTRIBUTED_TEST_DEVICE=cuda. One test after the other: live
/// tensors are counted for the whole process.
/// </summary>
[Collection("torch")]
public abstract class TorchBackendTests(TensorType stored, float tolerance, TorchDataType type = TorchDataType.Stored, TorchPrecision precision = TorchPrecision.High)
    : BackendConformance(new TorchOptions { Device = Device, DataType = type, Precision = precision }, stored, tolerance)
{
    private static TorchDeviceKind Device
        => Environment.GetEnvironmentVariable("DISTRIBUTED_TEST_DEVICE") == "cuda" ? TorchDeviceKind.Cuda : TorchDeviceKind.Cpu;

    protected override long LiveObjectCount() => TorchSharp.torch.Tensor.TotalCount;
}

public sealed class TorchFloat32Tests() : TorchBackendTests(TensorType.Float32, tolerance: 1e-5f);

public sealed class TorchBFloat16Tests() : TorchBackendTests(TensorType.BFloat16, tolerance: 1e-4f);

/// <summary>As it is stored where this libtorch's processor multiplies it, otherwise widened.</summary>
public sealed class TorchFloat16Tests() : TorchBackendTests(TensorType.Float16, tolerance: 1e-4f);

/// <summary>Rounding to 8 bits shows: most texts are the reference's to the last token, not all.</summary>
public sealed class TorchMediumPrecisionTests() : TorchBackendTests(TensorType.BFloat16, tolerance: 2e-2f, precision: TorchPrecision.Medium)
{
    protected override double GoldenShare => 0.7;
}
