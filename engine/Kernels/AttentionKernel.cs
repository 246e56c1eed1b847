using System.Runtime.CompilerServices;

namespace Distributed.Engine.Kernels;

/// <summary>
/// output[h] = sum over i of softmax(scale * q[h] . k[i])[i] * v[i], for the query heads h that share one key-value head and the
/// positions i of one sequence up to the token's own.
/// </summary>
/// <remarks>
/// <para>The cache is walked in <em>blocks</em> of 64 absolute positions, so that the result depends neither on how a prompt was cut
/// into chunks nor on what else is in the batch. A block gives, for each head, the maximum m of its scores, the sum l of
/// exp(score - m) and the vector a of the values weighted by them; blocks are merged in ascending order by
/// m' = max(m, m2), l' = l exp(m - m') + l2 exp(m2 - m'), a' likewise (online softmax: Milakov and Gimelshein, arXiv:1805.02867), and at
/// the end a is divided by l.</para>
/// <para>Scores are canonical dot products over the head, l a sum in 16 lanes and their tree, a[d] takes its positions in ascending order by
/// fused multiply-add.</para>
/// <para>In bfloat16 keys and values are rounded when they enter the cache, and all else is the same. In 8 bits the score is the key's scale times
/// the dot product with the whole numbers, and the value's scale multiplies the weight after the sum of the weights was taken.</para>
/// </remarks>
internal static unsafe class AttentionKernel
{
    /// <summary>Positions of a block.</summary>
    public const int BlockLength = 64;

    /// <summary>Floats of scratch memory that <see cref="Attend"/> needs.</summary>
    public static int ScratchLength(int headCount, int paddedDimension) => headCount * (BlockLength + (2 * paddedDimension) + 4);

    /// <summary>Computes one token's attention for the heads of one group.</summary>
    public static void Attend<TLanes>(in AttentionOperands operands)
        where TLanes : unmanaged, ILanes<TLanes>
    {
        switch (operands.Cache.Format)
        {
            case CacheFormat.Float32:
                Walk<TLanes, Float32Cache>(operands);
                break;
            case CacheFormat.BFloat16:
                Walk<TLanes, BFloat16Cache>(operands);
                break;
            default:
                Walk<TLanes, Int8Cache>(operands);
                break;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Walk<TLanes, TCache>(in AttentionOperands operands)
        where TLanes : unmanaged, ILanes<TLanes>
        where TCache : struct, ICacheFormat
    {
        var headCount = operands.HeadCount;
        var paddedDimension = operands.Cache.PaddedDimension;
        var rowByteCount = (nint)operands.Cache.RowByteCount;
        var scores = operands.Scratch; // [head, BlockLength]
        var sums = scores + (headCount * BlockLength); // [head, paddedDimension]
        var blockSums = sums + (headCount * paddedDimension); // [head, paddedDimension]
        var maxima = blockSums + (headCount * paddedDimension); // [head]
        var weights = maxima + headCount; // [head]
        var blockMaxima = weights + headCount; // [head]
        var blockWeights = blockMaxima + headCount; // [head]
        var start = operands.FirstPosition;
        for (var blockEnd = 0; start < operands.PositionCount; start = blockEnd)
        {
            // A window may begin within a block, of which it then has the rest.
            blockEnd = ((start / BlockLength) + 1) * BlockLength;
            var count = Math.Min(blockEnd, operands.PositionCount) - start;
            var block = operands.Blocks[start / BlockLength] * operands.BlockByteCount;
            var row = start % BlockLength * rowByteCount;
            var scale = (BlockLength * rowByteCount) + (start % BlockLength * sizeof(float)); // where the format has scales
            var keys = operands.Keys + block;
            var values = operands.Values + block;

            // Hardware follows a stream within a page; a head's blocks lie apart. So values are asked for while keys are used, and the next block's keys
            // while values are, of a token that is the first of its sequence in this step: those behind it find the blocks in the caches.
            var valuesAhead = operands.Prefetches ? values + row : null;
            var keysAhead = operands.Prefetches && blockEnd < operands.PositionCount
                ? operands.Keys + (operands.Blocks[blockEnd / BlockLength] * operands.BlockByteCount)
                : null;
            if (TCache.HasScales && operands.Prefetches)
            {
                PrefetchScales<TLanes>(values, rowByteCount);
                if (keysAhead != null)
                {
                    PrefetchScales<TLanes>(keysAhead, rowByteCount);
                }
            }

            AttentionScores.Compute<TLanes, TCache>(keys + row, count, operands.Queries, headCount, paddedDimension, scores, valuesAhead);
            if (TCache.HasScales)
            {
                Scale<TLanes>(scores, headCount, (float*)(keys + scale), count);
            }

            for (var head = 0; head < headCount; head++)
            {
                Exponentiate<TLanes>(
                    scores + (head * BlockLength), count, operands.Scale, out blockMaxima[head], out blockWeights[head]);
            }

            var first = start == operands.FirstPosition;
            if (TCache.HasScales)
            {
                Scale<TLanes>(scores, headCount, (float*)(values + scale), count);
            }

            WeightValues<TLanes, TCache>(scores, headCount, values + row, count, paddedDimension, first ? sums : blockSums, keysAhead);
            for (var head = 0; head < headCount; head++)
            {
                if (first)
                {
                    maxima[head] = blockMaxima[head];
                    weights[head] = blockWeights[head];
                    continue;
                }

                var maximum = blockMaxima[head] > maxima[head] ? blockMaxima[head] : maxima[head];
                var keep = Exponential.Exp(maxima[head] - maximum);
                var take = Exponential.Exp(blockMaxima[head] - maximum);
                maxima[head] = maximum;
                weights[head] = MathF.FusedMultiplyAdd(blockWeights[head], take, weights[head] * keep);
                Merge<TLanes>(sums + (head * paddedDimension), blockSums + (head * paddedDimension), keep, take, paddedDimension);
            }
        }

        for (var head = 0; head < headCount; head++)
        {
            Normalize<TLanes>(
                sums + (head * paddedDimension),
                1f / weights[head],
                operands.Output + (head * operands.HeadDimension),
                operands.HeadDimension);
        }
    }

    // They lie behind the rows.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void PrefetchScales<TLanes>(byte* rows, nint rowByteCount)
        where TLanes : unmanaged, ILanes<TLanes>
        => LaneOperations.Prefetch<TLanes>(rows + (BlockLength * rowByteCount), BlockLength * sizeof(float));

    // rows[head, i] *= scales[i]
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Scale<TLanes>(float* rows, int headCount, float* scales, int count)
        where TLanes : unmanaged, ILanes<TLanes>
    {
        for (var head = 0; head < headCount; head++, rows += BlockLength)
        {
            var i = 0;
            for (; i + LaneOperations.Count <= count; i += LaneOperations.Count)
            {
                TLanes.Store(TLanes.Load(rows + i) * TLanes.Load(scales + i), rows + i);
            }

            for (; i < count; i++)
            {
                rows[i] *= scales[i];
            }
        }
    }

    // Scores [count] become exp(scale * score - maximum), zeros behind them up to a multiple of 16.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Exponentiate<TLanes>(float* scores, int count, float scale, out float maximum, out float sum)
        where TLanes : unmanaged, ILanes<TLanes>
    {
        var padded = (count + 15) & ~15;
        new Span<float>(scores + count, padded - count).Fill(float.NegativeInfinity);
        var factor = TLanes.Create(scale);
        var greatest = TLanes.Create(float.NegativeInfinity);
        for (var i = 0; i < padded; i += 16)
        {
            var scaled = TLanes.Load(scores + i) * factor;
            greatest = TLanes.Greater(scaled, greatest);
            TLanes.Store(scaled, scores + i);
        }

        maximum = LaneOperations.Max(greatest);
        var shift = TLanes.Create(maximum);
        var total = TLanes.Create(0);
        for (var i = 0; i < padded; i += 16)
        {
            var weight = Exponential.Exp(TLanes.Load(scores + i) - shift);
            total += weight;
            TLanes.Store(weight, scores + i);
        }

        sum = LaneOperations.Sum(total);
    }

    // sums[head, d] = sum over i of weights[head, i] * values[i, d], ascending in i.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void WeightValues<TLanes, TCache>(float* weights, int headCount, byte* values, int count, int paddedDimension, float* sums, byte* ahead)
        where TLanes : unmanaged, ILanes<TLanes>
        where TCache : struct, ICacheFormat
    {
        var rowByteCount = (nint)paddedDimension * TCache.ElementSize;
        var head = 0;
        for (; head + 4 <= headCount; head += 4)
        {
            var weight = weights + (head * BlockLength);
            var sum = sums + (head * paddedDimension);
            for (nint d = 0; d < paddedDimension; d += 16)
            {
                var sum0 = TLanes.Create(0);
                var sum1 = sum0;
                var sum2 = sum0;
                var sum3 = sum0;
                var value = values + (d * TCache.ElementSize);
                for (var i = 0; i < count; i++, value += rowByteCount)
                {
                    if (ahead != null)
                    {
                        LaneOperations.Prefetch<TLanes>(ahead + (i * rowByteCount), rowByteCount);
                    }

                    var lanes = TCache.Load<TLanes>(value);
                    sum0 = TLanes.FusedMultiplyAdd(TLanes.Create(weight[i]), lanes, sum0);
                    sum1 = TLanes.FusedMultiplyAdd(TLanes.Create(weight[BlockLength + i]), lanes, sum1);
                    sum2 = TLanes.FusedMultiplyAdd(TLanes.Create(weight[(2 * BlockLength) + i]), lanes, sum2);
                    sum3 = TLanes.FusedMultiplyAdd(TLanes.Create(weight[(3 * BlockLength) + i]), lanes, sum3);
                }

                TLanes.Store(sum0, sum + d);
                TLanes.Store(sum1, sum + paddedDimension + d);
                TLanes.Store(sum2, sum + (2 * paddedDimension) + d);
                TLanes.Store(sum3, sum + (3 * paddedDimension) + d);
                ahead = null;
            }
        }

        for (; head < headCount; head++)
        {
            WeightValues<TLanes, TCache>(weights + (head * BlockLength), values, count, paddedDimension, sums + (head * paddedDimension), ahead);
            ahead = null;
        }
    }

    // One head: four pieces of the vector side by side hide the latency of the sums.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void WeightValues<TLanes, TCache>(float* weights, byte* values, int count, int paddedDimension, float* sums, byte* ahead)
        where TLanes : unmanaged, ILanes<TLanes>
        where TCache : struct, ICacheFormat
    {
        var rowByteCount = (nint)paddedDimension * TCache.ElementSize;
        nint d = 0;
        for (; d + 64 <= paddedDimension; d += 64)
        {
            var sum0 = TLanes.Create(0);
            var (sum1, sum2, sum3) = (sum0, sum0, sum0);
            var value = values + (d * TCache.ElementSize);
            for (var i = 0; i < count; i++, value += rowByteCount)
            {
                if (ahead != null)
                {
                    LaneOperations.Prefetch<TLanes>(ahead + (i * rowByteCount), rowByteCount);
                }

                var weight = TLanes.Create(weights[i]);
                sum0 = TLanes.FusedMultiplyAdd(weight, TCache.Load<TLanes>(value), sum0);
                sum1 = TLanes.FusedMultiplyAdd(weight, TCache.Load<TLanes>(value + (16 * TCache.ElementSize)), sum1);
                sum2 = TLanes.FusedMultiplyAdd(weight, TCache.Load<TLanes>(value + (32 * TCache.ElementSize)), sum2);
                sum3 = TLanes.FusedMultiplyAdd(weight, TCache.Load<TLanes>(value + (48 * TCache.ElementSize)), sum3);
            }

            TLanes.Store(sum0, sums + d);
            TLanes.Store(sum1, sums + d + 16);
            TLanes.Store(sum2, sums + d + 32);
            TLanes.Store(sum3, sums + d + 48);
            ahead = null;
        }

        for (; d + 32 <= paddedDimension; d += 32)
        {
            var sum0 = TLanes.Create(0);
            var sum1 = sum0;
            var value = values + (d * TCache.ElementSize);
            for (var i = 0; i < count; i++, value += rowByteCount)
            {
                if (ahead != null)
                {
                    LaneOperations.Prefetch<TLanes>(ahead + (i * rowByteCount), rowByteCount);
                }

                var weight = TLanes.Create(weights[i]);
                sum0 = TLanes.FusedMultiplyAdd(weight, TCache.Load<TLanes>(value), sum0);
                sum1 = TLanes.FusedMultiplyAdd(weight, TCache.Load<TLanes>(value + (16 * TCache.ElementSize)), sum1);
            }

            TLanes.Store(sum0, sums + d);
            TLanes.Store(sum1, sums + d + 16);
            ahead = null;
        }

        for (; d < paddedDimension; d += 16)
        {
            var sum = TLanes.Create(0);
            for (var i = 0; i < count; i++)
            {
                sum = TLanes.FusedMultiplyAdd(TLanes.Create(weights[i]), TCache.Load<TLanes>(values + (i * rowByteCount) + (d * TCache.ElementSize)), sum);
            }

            TLanes.Store(sum, sums + d);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Merge<TLanes>(float* sums, float* blockSums, float keep, float take, int paddedDimension)
        where TLanes : unmanaged, ILanes<TLanes>
    {
        var kept = TLanes.Create(keep);
        var taken = TLanes.Create(take);
        for (var d = 0; d < paddedDimension; d += 16)
        {
            TLanes.Store(TLanes.FusedMultiplyAdd(TLanes.Load(blockSums + d), taken, TLanes.Load(sums + d) * kept), sums + d);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Normalize<TLanes>(float* sums, float factor, float* output, int headDimension)
        where TLanes : unmanaged, ILanes<TLanes>
    {
        var whole = headDimension & ~15;
        var scale = TLanes.Create(factor);
        for (var d = 0; d < whole; d += 16)
        {
            TLanes.Store(TLanes.Load(sums + d) * scale, output + d);
        }

        if (whole < headDimension)
        {
            LaneOperations.Store(TLanes.Load(sums + whole) * scale, output + whole, headDimension - whole);
        }
    }
}
