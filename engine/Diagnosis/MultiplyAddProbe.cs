using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Distributed.Engine.Kernels;

namespace Distributed.Engine.Diagnosis;

/// <summary>The machine's float32 multiply-add rate, out of registers alone: prefilling can never be faster.</summary>
internal static class MultiplyAddProbe
{
    private const int StepCount = 1_000_000;
    private const int SumCount = 12;

    private static float _sink;

    /// <summary>GFLOP/s of all threads of the pool together.</summary>
    public static double Measure(ComputePool pool)
    {
        var pieces = 4 * pool.ThreadCount;
        var width = Vector512.IsHardwareAccelerated ? 16 : Vector256.IsHardwareAccelerated ? 8 : 4;
        var start = Stopwatch.GetTimestamp();
        pool.For(pieces, 1, (first, end) =>
        {
            for (var piece = first; piece < end; piece++)
            {
                _sink = width switch { 16 => Chain512(), 8 => Chain256(), _ => Chain128() };
            }
        });
        return 2.0 * width * SumCount * StepCount * pieces / Stopwatch.GetElapsedTime(start).TotalSeconds / 1e9;
    }

    // Twelve sums: enough to hide the latency of the multiply-add on every core there is, and they fit the smallest register file.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static float Chain512()
    {
        var (a, b) = (Vector512.Create(1.0001f), Vector512.Create(0.5f));
        var (s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11) = (a, a, a, a, a, a, a, a, a, a, a, a);
        for (var i = 0; i < StepCount; i++)
        {
            s0 = Vector512.FusedMultiplyAdd(s0, b, a);
            s1 = Vector512.FusedMultiplyAdd(s1, b, a);
            s2 = Vector512.FusedMultiplyAdd(s2, b, a);
            s3 = Vector512.FusedMultiplyAdd(s3, b, a);
            s4 = Vector512.FusedMultiplyAdd(s4, b, a);
            s5 = Vector512.FusedMultiplyAdd(s5, b, a);
            s6 = Vector512.FusedMultiplyAdd(s6, b, a);
            s7 = Vector512.FusedMultiplyAdd(s7, b, a);
            s8 = Vector512.FusedMultiplyAdd(s8, b, a);
            s9 = Vector512.FusedMultiplyAdd(s9, b, a);
            s10 = Vector512.FusedMultiplyAdd(s10, b, a);
            s11 = Vector512.FusedMultiplyAdd(s11, b, a);
        }

        return Vector512.Sum(s0 + s1 + s2 + s3 + s4 + s5 + s6 + s7 + s8 + s9 + s10 + s11);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static float Chain256()
    {
        var (a, b) = (Vector256.Create(1.0001f), Vector256.Create(0.5f));
        var (s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11) = (a, a, a, a, a, a, a, a, a, a, a, a);
        for (var i = 0; i < StepCount; i++)
        {
            s0 = Vector256.FusedMultiplyAdd(s0, b, a);
            s1 = Vector256.FusedMultiplyAdd(s1, b, a);
            s2 = Vector256.FusedMultiplyAdd(s2, b, a);
            s3 = Vector256.FusedMultiplyAdd(s3, b, a);
            s4 = Vector256.FusedMultiplyAdd(s4, b, a);
            s5 = Vector256.FusedMultiplyAdd(s5, b, a);
            s6 = Vector256.FusedMultiplyAdd(s6, b, a);
            s7 = Vector256.FusedMultiplyAdd(s7, b, a);
            s8 = Vector256.FusedMultiplyAdd(s8, b, a);
            s9 = Vector256.FusedMultiplyAdd(s9, b, a);
            s10 = Vector256.FusedMultiplyAdd(s10, b, a);
            s11 = Vector256.FusedMultiplyAdd(s11, b, a);
        }

        return Vector256.Sum(s0 + s1 + s2 + s3 + s4 + s5 + s6 + s7 + s8 + s9 + s10 + s11);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static float Chain128()
    {
        var (a, b) = (Vector128.Create(1.0001f), Vector128.Create(0.5f));
        var (s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11) = (a, a, a, a, a, a, a, a, a, a, a, a);
        for (var i = 0; i < StepCount; i++)
        {
            s0 = Vector128.FusedMultiplyAdd(s0, b, a);
            s1 = Vector128.FusedMultiplyAdd(s1, b, a);
            s2 = Vector128.FusedMultiplyAdd(s2, b, a);
            s3 = Vector128.FusedMultiplyAdd(s3, b, a);
            s4 = Vector128.FusedMultiplyAdd(s4, b, a);
            s5 = Vector128.FusedMultiplyAdd(s5, b, a);
            s6 = Vector128.FusedMultiplyAdd(s6, b, a);
            s7 = Vector128.FusedMultiplyAdd(s7, b, a);
            s8 = Vector128.FusedMultiplyAdd(s8, b, a);
            s9 = Vector128.FusedMultiplyAdd(s9, b, a);
            s10 = Vector128.FusedMultiplyAdd(s10, b, a);
            s11 = Vector128.FusedMultiplyAdd(s11, b, a);
        }

        return Vector128.Sum(s0 + s1 + s2 + s3 + s4 + s5 + s6 + s7 + s8 + s9 + s10 + s11);
    }
}
