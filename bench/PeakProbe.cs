using Distributed.Engine.Diagnosis;
using Distributed.Engine.Kernels;

namespace Distributed.Bench;

/// <summary>The limit of arithmetic: float32 multiply-adds, or bfloat16 dot products where those compute.</summary>
internal static class PeakProbe
{
    /// <summary>GFLOP/s of all threads of the pool together.</summary>
    public static double Measure(ComputePool pool, MatmulPrecision precision)
        => precision == MatmulPrecision.Medium && BFloat16Probe.Measure(pool) is > 0 and var peak ? peak : MultiplyAddProbe.Measure(pool);

    /// <summary>What computes the products.</summary>
    public static string Name(MatmulPrecision precision, KernelSet kernels)
        => precision == MatmulPrecision.Medium ? $"medium by {kernels.BFloat16Products.Name}" : "highest";
}
