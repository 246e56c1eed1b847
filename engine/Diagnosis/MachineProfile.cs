using Distributed.Engine.Checkpoints;
using Distributed.Engine.Kernels;

namespace Distributed.Engine.Diagnosis;

/// <summary>What this machine can do, measured.</summary>
/// <param name="KernelPath">The vector instructions that compute, as <see cref="KernelSet"/> names them.</param>
/// <param name="ThreadCount">Threads of the measurements.</param>
/// <param name="ReadBytesPerSecond">Bytes a second that all threads together read from memory.</param>
/// <param name="MultiplyAddsPerSecond">Float32 operations a second out of registers; a multiply-add is two.</param>
/// <param name="Int8OperationsPerSecond">As many of products of 8-bit weights with many tokens, out of the caches.</param>
/// <param name="Int4OperationsPerSecond">As many of 4-bit weights.</param>
/// <param name="MemoryByteCount">Memory that this process may use.</param>
public sealed record MachineProfile(
    string KernelPath,
    int ThreadCount,
    double ReadBytesPerSecond,
    double MultiplyAddsPerSecond,
    double Int8OperationsPerSecond,
    double Int4OperationsPerSecond,
    long MemoryByteCount)
{
    private const long BlockByteCount = 512L << 20; // larger than the caches of any processor that is usual
    private const int RoundCount = 3;

    /// <summary>The memory that this process may use: the machine's, or its container's.</summary>
    public static long AvailableMemory => GC.GetGCMemoryInfo().TotalAvailableMemoryBytes;

    /// <summary>Operations a second that prefilling can come to.</summary>
    /// <param name="quantization">What the matrices are quantised to; <see langword="null"/> for nothing.</param>
    public double OperationsPerSecond(TensorType? quantization) => quantization switch
    {
        TensorType.Int8 => Int8OperationsPerSecond,
        TensorType.Int4 => Int4OperationsPerSecond,
        _ => MultiplyAddsPerSecond,
    };

    /// <summary>Measures for about a second; the best of some rounds, as other work only takes away.</summary>
    /// <param name="threadCount">Threads at once.</param>
    public static unsafe MachineProfile Measure(int threadCount)
    {
        var byteCount = Math.Max(1L << 20, Math.Min(BlockByteCount, AvailableMemory / 8) >> 20 << 20);
        using var pool = new ComputePool(threadCount, "probe");
        using var block = new NativeBuffer(byteCount / sizeof(float));
        new Span<float>(block.Data, (int)(byteCount / sizeof(float))).Fill(1); // pages that nobody wrote to are all the same one
        return new MachineProfile(
            KernelSet.Best.Name,
            threadCount,
            Best(() => ReadBandwidthProbe.Measure(pool, (byte*)block.Data, byteCount)),
            Best(() => MultiplyAddProbe.Measure(pool)),
            Best(() => QuantizedProductsProbe.Measure(pool, TensorType.Int8)),
            Best(() => QuantizedProductsProbe.Measure(pool, TensorType.Int4)),
            AvailableMemory);

        static double Best(Func<double> billionsPerSecond) => Enumerable.Range(0, RoundCount).Max(_ => billionsPerSecond()) * 1e9;
    }
}
