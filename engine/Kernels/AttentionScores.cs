using System.Runtime.CompilerServices;

namespace Distributed.Engine.Kernels;

/// <summary>
/// scores[h, i] = keys[i] . queries[h], canonical dot products over the head (<see cref="LinearKernel"/>), of keys that are widened as they are read.
/// </summary>
internal static unsafe class AttentionScores
{
    /// <summary>Computes the scores of some positions.</summary>
    /// <param name="keys">[position, padded element]</param>
    /// <param name="count">Positions.</param>
    /// <param name="queries">[head, paddedDimension]</param>
    /// <param name="headCount">Heads.</param>
    /// <param name="paddedDimension">Elements of a row.</param>
    /// <param name="scores">[head, <see cref="AttentionKernel.BlockLength"/>]</param>
    /// <param name="ahead">As many rows that will be needed next and are asked for meanwhile; <see langword="null"/> for none.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Compute<TLanes, TCache>(byte* keys, int count, float* queries, int headCount, int paddedDimension, float* scores, byte* ahead)
        where TLanes : unmanaged, ILanes<TLanes>
        where TCache : struct, ICacheFormat
    {
        var head = 0;
        for (; TLanes.HasLargeRegisterFile && head + 4 <= headCount; head += 4)
        {
            FourHeads<TLanes, TCache>(keys, count, queries + (head * paddedDimension), paddedDimension, scores + (head * AttentionKernel.BlockLength), ahead);
            ahead = null;
        }

        for (; head < headCount; head++)
        {
            OneHead<TLanes, TCache>(keys, count, queries + (head * paddedDimension), paddedDimension, scores + (head * AttentionKernel.BlockLength), ahead);
            ahead = null;
        }
    }

    // Two positions against four heads: each element that is widened serves four products.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void FourHeads<TLanes, TCache>(byte* keys, int count, float* queries, int paddedDimension, float* scores, byte* ahead)
        where TLanes : unmanaged, ILanes<TLanes>
        where TCache : struct, ICacheFormat
    {
        var rowByteCount = (nint)paddedDimension * TCache.ElementSize;
        var firsts = stackalloc float[4];
        for (var i = 0; i < count; i += 2)
        {
            if (ahead != null)
            {
                LaneOperations.Prefetch<TLanes>(ahead, 2 * rowByteCount);
                ahead += 2 * rowByteCount;
            }

            var row0 = keys + (i * rowByteCount);
            var row1 = i + 1 < count ? row0 + rowByteCount : row0; // the last one twice
            var sum00 = TLanes.Create(0);
            var (sum01, sum02, sum03, sum10, sum11, sum12, sum13) = (sum00, sum00, sum00, sum00, sum00, sum00, sum00);
            for (nint d = 0; d < paddedDimension; d += LaneOperations.Count)
            {
                var key0 = TCache.Load<TLanes>(row0 + (d * TCache.ElementSize));
                var key1 = TCache.Load<TLanes>(row1 + (d * TCache.ElementSize));
                var query = TLanes.Load(queries + d);
                sum00 = TLanes.FusedMultiplyAdd(key0, query, sum00);
                sum10 = TLanes.FusedMultiplyAdd(key1, query, sum10);
                query = TLanes.Load(queries + paddedDimension + d);
                sum01 = TLanes.FusedMultiplyAdd(key0, query, sum01);
                sum11 = TLanes.FusedMultiplyAdd(key1, query, sum11);
                query = TLanes.Load(queries + (2 * paddedDimension) + d);
                sum02 = TLanes.FusedMultiplyAdd(key0, query, sum02);
                sum12 = TLanes.FusedMultiplyAdd(key1, query, sum12);
                query = TLanes.Load(queries + (3 * paddedDimension) + d);
                sum03 = TLanes.FusedMultiplyAdd(key0, query, sum03);
                sum13 = TLanes.FusedMultiplyAdd(key1, query, sum13);
            }

            Scatter(Fold(sum00, sum01, sum02, sum03), firsts, scores + i);
            Scatter(Fold(sum10, sum11, sum12, sum13), firsts, scores + Math.Min(i + 1, count - 1));
        }
    }

    // Four positions side by side hide the latency of the sums.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void OneHead<TLanes, TCache>(byte* keys, int count, float* query, int paddedDimension, float* scores, byte* ahead)
        where TLanes : unmanaged, ILanes<TLanes>
        where TCache : struct, ICacheFormat
    {
        var rowByteCount = (nint)paddedDimension * TCache.ElementSize;
        var i = 0;
        for (; i + 4 <= count; i += 4, keys += 4 * rowByteCount)
        {
            if (ahead != null)
            {
                LaneOperations.Prefetch<TLanes>(ahead, 4 * rowByteCount);
                ahead += 4 * rowByteCount;
            }

            var sum0 = TLanes.Create(0);
            var (sum1, sum2, sum3) = (sum0, sum0, sum0);
            var row = keys;
            for (var d = 0; d < paddedDimension; d += LaneOperations.Count, row += LaneOperations.Count * TCache.ElementSize)
            {
                var lanes = TLanes.Load(query + d);
                sum0 = TLanes.FusedMultiplyAdd(TCache.Load<TLanes>(row), lanes, sum0);
                sum1 = TLanes.FusedMultiplyAdd(TCache.Load<TLanes>(row + rowByteCount), lanes, sum1);
                sum2 = TLanes.FusedMultiplyAdd(TCache.Load<TLanes>(row + (2 * rowByteCount)), lanes, sum2);
                sum3 = TLanes.FusedMultiplyAdd(TCache.Load<TLanes>(row + (3 * rowByteCount)), lanes, sum3);
            }

            TLanes.StoreFirsts(Fold(sum0, sum1, sum2, sum3), scores + i);
        }

        for (; i < count; i++, keys += rowByteCount)
        {
            var sum = TLanes.Create(0);
            for (nint d = 0; d < paddedDimension; d += LaneOperations.Count)
            {
                sum = TLanes.FusedMultiplyAdd(TCache.Load<TLanes>(keys + (d * TCache.ElementSize)), TLanes.Load(query + d), sum);
            }

            scores[i] = LaneOperations.Sum(sum);
        }
    }

    // Lane 0 of quarter r holds the lane tree's sum of vector r.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TLanes Fold<TLanes>(TLanes sum0, TLanes sum1, TLanes sum2, TLanes sum3)
        where TLanes : unmanaged, ILanes<TLanes>
    {
        var quarters = TLanes.Fold4(TLanes.Fold8(sum0, sum1), TLanes.Fold8(sum2, sum3));
        quarters = TLanes.Fold2(quarters, quarters);
        return TLanes.Fold1(quarters, quarters);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Scatter<TLanes>(TLanes sums, float* firsts, float* scores)
        where TLanes : unmanaged, ILanes<TLanes>
    {
        TLanes.StoreFirsts(sums, firsts);
        for (var head = 0; head < 4; head++)
        {
            scores[head * AttentionKernel.BlockLength] = firsts[head];
        }
    }
}
