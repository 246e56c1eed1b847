using Distributed.Engine.Checkpoints;
using Distributed.Engine.Diagnosis;
using Distributed.Engine.Kernels;
using Distributed.Engine.Tests.Model;

namespace Distributed.Engine.Tests.Diagnosis;

/// <summary>What a machine cannot exceed, by hand.</summary>
public sealed class SpeedLimitTests
{
    [Theory]
    [InlineData(null, MatmulPrecision.Highest, 2e9, 1e9)]
    [InlineData(null, MatmulPrecision.Medium, 2e9, 2e9)]
    [InlineData(null, MatmulPrecision.Medium, null, 1e9)]
    [InlineData(TensorType.Int8, MatmulPrecision.Highest, 2e9, 3e9)]
    [InlineData(TensorType.Int4, MatmulPrecision.Highest, 2e9, 5e9)]
    public void PrefillHere_OfAFormat_IsWhatItsProductsComeTo(
        TensorType? quantization, MatmulPrecision precision, double? dotsPerSecond, double operationsPerSecond)
    {
        var machine = new MachineProfile(
            "scalar",
            ThreadCount: 1,
            ReadBytesPerSecond: 1e9,
            MultiplyAddsPerSecond: 1e9,
            Int8OperationsPerSecond: 3e9,
            Int4OperationsPerSecond: 5e9,
            BFloat16Path: "scalar",
            BFloat16OperationsPerSecond: dotsPerSecond,
            MemoryByteCount: 1 << 30);
        var memory = RankMemory.Of(RankMemoryTests.Config, TensorType.BFloat16, ModelWorld.Options(maxSequenceLength: 40, maxBatchSize: 1), worldSize: 1);

        var limit = SpeedLimit.Of(RankMemoryTests.Config, quantization, precision, memory, machine, position: 20);

        var matrices = (2 * 96 * 96) + (2 * 48 * 96) + (3 * 160 * 96); // of a layer
        Assert.Equal(operationsPerSecond / (2.0 * RankMemoryTests.Config.LayerCount * matrices), limit.PrefillHere, tolerance: 1e-6);
    }

    /// <summary>The probe runs the kernel of this machine; its rate is a positive number.</summary>
    [Theory]
    [InlineData(TensorType.Int8)]
    [InlineData(TensorType.Int4)]
    public void QuantizedProductsProbe_OfThisMachine_Measures(TensorType type)
    {
        using var pool = new ComputePool(2);
        Assert.InRange(QuantizedProductsProbe.Measure(pool, type), double.Epsilon, 1e6);
    }
}
