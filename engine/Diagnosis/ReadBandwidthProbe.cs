using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Distributed.Engine.Kernels;

namespace Distributed.Engine.Diagnosis;

/// <summary>
/// The machine's read bandwidth: the sum of a block far larger than its caches. Decoding can never be faster than this bandwidth over the
/// bytes that a token touches.
/// </summary>
internal static unsafe class ReadBandwidthProbe
{
    private const int PieceByteCount = 1 << 20;

    // What was read must be used, or the reads are optimised away.
    private static long _sink;

    /// <summary>GB/s of one pass over [<paramref name="byteCount"/>] with all threads of the pool.</summary>
    public static double Measure(ComputePool pool, byte* data, long byteCount)
    {
        var start = Stopwatch.GetTimestamp();
        pool.For((int)(byteCount / PieceByteCount), 1, (first, end) =>
            Interlocked.Add(ref _sink, Sum(data + ((long)first * PieceByteCount), data + ((long)end * PieceByteCount))));
        return byteCount / PieceByteCount * PieceByteCount / Stopwatch.GetElapsedTime(start).TotalSeconds / 1e9;
    }

    // Eight sums, so that no addition waits for the one before.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static long Sum(byte* data, byte* end)
    {
        var sum0 = Vector512<long>.Zero;
        var (sum1, sum2, sum3, sum4, sum5, sum6, sum7) = (sum0, sum0, sum0, sum0, sum0, sum0, sum0);
        for (; data < end; data += 512)
        {
            sum0 += Vector512.Load((long*)data);
            sum1 += Vector512.Load((long*)(data + 64));
            sum2 += Vector512.Load((long*)(data + 128));
            sum3 += Vector512.Load((long*)(data + 192));
            sum4 += Vector512.Load((long*)(data + 256));
            sum5 += Vector512.Load((long*)(data + 320));
            sum6 += Vector512.Load((long*)(data + 384));
            sum7 += Vector512.Load((long*)(data + 448));
        }

        return Vector512.Sum(sum0 + sum1 + sum2 + sum3 + sum4 + sum5 + sum6 + sum7);
    }
}
