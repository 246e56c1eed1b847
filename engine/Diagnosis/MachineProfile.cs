using Distributed.Engine.Checkpoints;
using Distributed.Engine.Kernels;
using Distributed.Engine.Kernels.Emission;

namespace Distributed.Engine.Diagnosis;

/// <summary>What this machine can do, measured.</summary>
/// <param name="KernelPath">The vector instructions that compute, as <see cref="KernelSet"/> names them.</param>
/// <param name="ThreadCount">Threads of the measurements.</param>
/// <param name="ReadBytesPerSecond">Bytes a second that all threads together read from memory.</param>
/// <param name="MultiplyAddsPerSecond">Float32 operations a second out of registers; a multiply-add is two.</param>
/// <param name="Int8OperationsPerSecond">As many of products of 8-bit weights with many tokens, out of the caches.</param>
/// <param name="Int4OperationsPerSecond">As many of 4-bit weights.</param>
/// <param name="BFloat16Path">What computes products with activations in bfloat16, as <see cref="BFloat16Products"/> names it; where no code is emitted, why.</param>
/// <param name="BFloat16OperationsPerSecond">
/// Operations a second of bfloat16 dot products out of registers, a product and its addition being two; <see langword="null"/> where they are computed by multiply-adds.
/// </param>
/// <param name="MemoryByteCount">Memory that this process may use.</param>
public sealed record MachineProfile(
    string KernelPath,
    int ThreadCount,
    double ReadBytesPerSecond,
    double MultiplyAddsPerSecond,
    double Int8OperationsPerSecond,
    double Int4OperationsPerSecond,
    string BFloat16Path,
    double? BFloat16OperationsPerSecond,
    long MemoryByteCount)
{
    private const long BlockByteCount = 512L << 20; // larger than the caches of any processor that is usual
    private const int RoundCount = 3;

    /// <summary>The memory that this process may use: the machine's, or its container's.</summary>
    public static long AvailableMemory => GC.GetGCMemoryInfo().TotalAvailableMemoryBytes;

    /// <summary>Operations a second that prefilling can come to.</summary>
    /// <param name="quantization">What the matrices are quantised to; <see langword="null"/> for nothing.</param>
    /// <param name="precision">What products of stored weights are computed from.</param>
    public double OperationsPerSecond(TensorType? quantization, MatmulPrecision precision) => quantization switch
    {
        TensorType.Int8 => Int8OperationsPerSecond,
        TensorType.Int4 => Int4OperationsPerSecond,
        _ => (precision == MatmulPrecision.Medium ? BFloat16OperationsPerSecond : null) ?? MultiplyAddsPerSecond,
    };

    /// <summary>Measures for about a second; the best of some rounds, as other work only takes away.</summary>
    /// <param name="threadCount">Threads at once.</param>
    public static unsafe MachineProfile Measure(int threadCount)
    {
        var byteCount = Math.Max(1L << 20, Math.Min(BlockByteCount, AvailableMemory / 8) >> 20 << 20);
        using var pool = new ComputePool(threadCount, "probe");
        using var block = new NativeBuffer(byteCount / sizeof(float));
        new Span<float>(block.Data, (int)(byteCount / sizeof(float))).Fill(1); // pages that nobody wrote to are all the same one
        var products = KernelSet.Best.BFloat16Products;
        return new MachineProfile(
            KernelSet.Best.Name,
            threadCount,
            Best(() => ReadBandwidthProbe.Measure(pool, (byte*)block.Data, byteCount)),
            Best(() => MultiplyAddProbe.Measure(pool)),
            Best(() => QuantizedProductsProbe.Measure(pool, TensorType.Int8)),
            Best(() => QuantizedProductsProbe.Measure(pool, TensorType.Int4)),
            BFloat16Code.Problem is { } problem ? $"{products.Name}, as {problem}" : products.Name,
            BFloat16Code.Shared is null ? null : Best(() => BFloat16Probe.Measure(pool)),
            AvailableMemory);

        static double Best(Func<double> billionsPerSecond) => Enumerable.Range(0, RoundCount).Max(_ => billionsPerSecond()) * 1e9;
    }
}
