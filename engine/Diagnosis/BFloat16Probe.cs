using System.Diagnostics;
using Distributed.Engine.Kernels;
using Distributed.Engine.Kernels.Emission;

namespace Distributed.Engine.Diagnosis;

/// <summary>The machine's rate of bfloat16 dot products, out of registers alone: with activations in bfloat16 prefilling can never be faster.</summary>
internal static unsafe class BFloat16Probe
{
    private const int StepCount = 500_000;
    private const int OperationsPerDot = 2 * 32;

    /// <summary>GFLOP/s of all threads of the pool together; 0 where no code is emitted.</summary>
    public static double Measure(ComputePool pool)
    {
        if (BFloat16Code.Shared is not { } code)
        {
            return 0;
        }

        var pieces = 4 * pool.ThreadCount;
        var start = Stopwatch.GetTimestamp();
        pool.For(pieces, 1, (first, end) =>
        {
            for (var piece = first; piece < end; piece++)
            {
                code.Peak(StepCount);
            }
        });
        return (double)OperationsPerDot * BFloat16Code.PeakDotCount * StepCount * pieces / Stopwatch.GetElapsedTime(start).TotalSeconds / 1e9;
    }
}
