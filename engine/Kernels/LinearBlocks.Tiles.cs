using System.Runtime.CompilerServices;

namespace Distributed.Engine.Kernels;

/// <content>
/// The tiles: written out, as each sum must be a register of its own. They take one panel: <c>blockCount</c> whole blocks and, with <c>hasTail</c>, one
/// more that lies completed in the padding. Tokens behind <c>lastToken</c> of the tile stand for it: what they give is not stored. <c>ahead</c> is where the next block of rows continues, of which so many rows are asked for. Without
/// <c>isFirst</c> the sums of the panel before come from <c>sums</c>, and without <c>isLast</c> they go there.
/// </content>
internal unsafe ref partial struct LinearBlocks<TLanes, TFormat>
{
    // Lane r of quarter t of the result holds the sum of row r and token t.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private readonly TLanes Tile4x4(
        byte* row0, float* x0, int lastToken, nint blockCount, bool hasTail, byte* ahead, int aheadRowCount, TLanes* sums, bool isFirst, bool isLast)
    {
        var rowByteCount = _weights.RowByteCount;
        var row1 = row0 + rowByteCount;
        var row2 = row1 + rowByteCount;
        var row3 = row2 + rowByteCount;
        var x1 = x0 + (Math.Min(1, lastToken) * _inputs.TokenStride);
        var x2 = x0 + (Math.Min(2, lastToken) * _inputs.TokenStride);
        var x3 = x0 + (lastToken * _inputs.TokenStride);
        var zero = TLanes.Create(0);
        TLanes sum00 = zero, sum01 = zero, sum02 = zero, sum03 = zero; // [row, token]
        TLanes sum10 = zero, sum11 = zero, sum12 = zero, sum13 = zero;
        TLanes sum20 = zero, sum21 = zero, sum22 = zero, sum23 = zero;
        TLanes sum30 = zero, sum31 = zero, sum32 = zero, sum33 = zero;
        if (!isFirst)
        {
            (sum00, sum01, sum02, sum03) = (sums[0], sums[1], sums[2], sums[3]);
            (sum10, sum11, sum12, sum13) = (sums[4], sums[5], sums[6], sums[7]);
            (sum20, sum21, sum22, sum23) = (sums[8], sums[9], sums[10], sums[11]);
            (sum30, sum31, sum32, sum33) = (sums[12], sums[13], sums[14], sums[15]);
        }

        while (true)
        {
            for (; blockCount > 0; blockCount--)
            {
                if (aheadRowCount > 0)
                {
                    TLanes.Prefetch(ahead);
                    if (aheadRowCount > 1)
                    {
                        TLanes.Prefetch(ahead + rowByteCount);
                        if (aheadRowCount > 2)
                        {
                            TLanes.Prefetch(ahead + (2 * rowByteCount));
                            TLanes.Prefetch(ahead + (3 * rowByteCount));
                        }
                    }

                    ahead += BlockByteCount;
                }

                TFormat.Load<TLanes>(row0, out var w0, out var odd0);
                TFormat.Load<TLanes>(row1, out var w1, out var odd1);
                TFormat.Load<TLanes>(row2, out var w2, out var odd2);
                TFormat.Load<TLanes>(row3, out var w3, out var odd3);
                var x = TLanes.Load(x0);
                sum00 = TLanes.FusedMultiplyAdd(w0, x, sum00);
                sum10 = TLanes.FusedMultiplyAdd(w1, x, sum10);
                sum20 = TLanes.FusedMultiplyAdd(w2, x, sum20);
                sum30 = TLanes.FusedMultiplyAdd(w3, x, sum30);
                x = TLanes.Load(x1);
                sum01 = TLanes.FusedMultiplyAdd(w0, x, sum01);
                sum11 = TLanes.FusedMultiplyAdd(w1, x, sum11);
                sum21 = TLanes.FusedMultiplyAdd(w2, x, sum21);
                sum31 = TLanes.FusedMultiplyAdd(w3, x, sum31);
                x = TLanes.Load(x2);
                sum02 = TLanes.FusedMultiplyAdd(w0, x, sum02);
                sum12 = TLanes.FusedMultiplyAdd(w1, x, sum12);
                sum22 = TLanes.FusedMultiplyAdd(w2, x, sum22);
                sum32 = TLanes.FusedMultiplyAdd(w3, x, sum32);
                x = TLanes.Load(x3);
                sum03 = TLanes.FusedMultiplyAdd(w0, x, sum03);
                sum13 = TLanes.FusedMultiplyAdd(w1, x, sum13);
                sum23 = TLanes.FusedMultiplyAdd(w2, x, sum23);
                sum33 = TLanes.FusedMultiplyAdd(w3, x, sum33);
                if (TFormat.HasPairs)
                {
                    x = TLanes.Load(x0 + 16);
                    sum00 = TLanes.FusedMultiplyAdd(odd0, x, sum00);
                    sum10 = TLanes.FusedMultiplyAdd(odd1, x, sum10);
                    sum20 = TLanes.FusedMultiplyAdd(odd2, x, sum20);
                    sum30 = TLanes.FusedMultiplyAdd(odd3, x, sum30);
                    x = TLanes.Load(x1 + 16);
                    sum01 = TLanes.FusedMultiplyAdd(odd0, x, sum01);
                    sum11 = TLanes.FusedMultiplyAdd(odd1, x, sum11);
                    sum21 = TLanes.FusedMultiplyAdd(odd2, x, sum21);
                    sum31 = TLanes.FusedMultiplyAdd(odd3, x, sum31);
                    x = TLanes.Load(x2 + 16);
                    sum02 = TLanes.FusedMultiplyAdd(odd0, x, sum02);
                    sum12 = TLanes.FusedMultiplyAdd(odd1, x, sum12);
                    sum22 = TLanes.FusedMultiplyAdd(odd2, x, sum22);
                    sum32 = TLanes.FusedMultiplyAdd(odd3, x, sum32);
                    x = TLanes.Load(x3 + 16);
                    sum03 = TLanes.FusedMultiplyAdd(odd0, x, sum03);
                    sum13 = TLanes.FusedMultiplyAdd(odd1, x, sum13);
                    sum23 = TLanes.FusedMultiplyAdd(odd2, x, sum23);
                    sum33 = TLanes.FusedMultiplyAdd(odd3, x, sum33);
                    x0 += 16;
                    x1 += 16;
                    x2 += 16;
                    x3 += 16;
                }

                x0 += 16;
                x1 += 16;
                x2 += 16;
                x3 += 16;
                row0 += BlockByteCount;
                row1 += BlockByteCount;
                row2 += BlockByteCount;
                row3 += BlockByteCount;
            }

            if (!hasTail)
            {
                break;
            }

            hasTail = false;
            blockCount = 1;
            row0 = _padding;
            row1 = _padding + BlockByteCount;
            row2 = _padding + (2 * BlockByteCount);
            row3 = _padding + (3 * BlockByteCount);
        }

        if (!isLast)
        {
            (sums[0], sums[1], sums[2], sums[3]) = (sum00, sum01, sum02, sum03);
            (sums[4], sums[5], sums[6], sums[7]) = (sum10, sum11, sum12, sum13);
            (sums[8], sums[9], sums[10], sums[11]) = (sum20, sum21, sum22, sum23);
            (sums[12], sums[13], sums[14], sums[15]) = (sum30, sum31, sum32, sum33);
            return zero;
        }

        // Quarter t of each vector: what is left of one row and token t.
        var left0 = TLanes.Fold4(TLanes.Fold8(sum00, sum01), TLanes.Fold8(sum02, sum03));
        var left1 = TLanes.Fold4(TLanes.Fold8(sum10, sum11), TLanes.Fold8(sum12, sum13));
        var left2 = TLanes.Fold4(TLanes.Fold8(sum20, sum21), TLanes.Fold8(sum22, sum23));
        var left3 = TLanes.Fold4(TLanes.Fold8(sum30, sum31), TLanes.Fold8(sum32, sum33));
        return TLanes.Fold1(TLanes.Fold2(left0, left1), TLanes.Fold2(left2, left3));
    }

    // Lane 0 of quarter 2t + r of the result holds the sum of row r and token t.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private readonly TLanes Tile2x2(
        byte* row0, float* x0, nint blockCount, bool hasTail, byte* ahead, int aheadRowCount, TLanes* sums, bool isFirst, bool isLast)
    {
        var rowByteCount = _weights.RowByteCount;
        var row1 = row0 + rowByteCount;
        var x1 = x0 + _inputs.TokenStride;
        var zero = TLanes.Create(0);
        TLanes sum00 = zero, sum01 = zero; // [row, token]
        TLanes sum10 = zero, sum11 = zero;
        if (!isFirst)
        {
            (sum00, sum01) = (sums[0], sums[1]);
            (sum10, sum11) = (sums[2], sums[3]);
        }

        while (true)
        {
            for (; blockCount > 0; blockCount--)
            {
                if (aheadRowCount > 0)
                {
                    TLanes.Prefetch(ahead);
                    if (aheadRowCount > 1)
                    {
                        TLanes.Prefetch(ahead + rowByteCount);
                    }

                    ahead += BlockByteCount;
                }

                TFormat.Load<TLanes>(row0, out var w0, out var odd0);
                TFormat.Load<TLanes>(row1, out var w1, out var odd1);
                var x = TLanes.Load(x0);
                sum00 = TLanes.FusedMultiplyAdd(w0, x, sum00);
                sum10 = TLanes.FusedMultiplyAdd(w1, x, sum10);
                x = TLanes.Load(x1);
                sum01 = TLanes.FusedMultiplyAdd(w0, x, sum01);
                sum11 = TLanes.FusedMultiplyAdd(w1, x, sum11);
                if (TFormat.HasPairs)
                {
                    x = TLanes.Load(x0 + 16);
                    sum00 = TLanes.FusedMultiplyAdd(odd0, x, sum00);
                    sum10 = TLanes.FusedMultiplyAdd(odd1, x, sum10);
                    x = TLanes.Load(x1 + 16);
                    sum01 = TLanes.FusedMultiplyAdd(odd0, x, sum01);
                    sum11 = TLanes.FusedMultiplyAdd(odd1, x, sum11);
                    x0 += 16;
                    x1 += 16;
                }

                x0 += 16;
                x1 += 16;
                row0 += BlockByteCount;
                row1 += BlockByteCount;
            }

            if (!hasTail)
            {
                break;
            }

            hasTail = false;
            blockCount = 1;
            row0 = _padding;
            row1 = _padding + BlockByteCount;
        }

        if (!isLast)
        {
            (sums[0], sums[1]) = (sum00, sum01);
            (sums[2], sums[3]) = (sum10, sum11);
            return zero;
        }

        var quarters = TLanes.Fold4(TLanes.Fold8(sum00, sum10), TLanes.Fold8(sum01, sum11));
        quarters = TLanes.Fold2(quarters, quarters);
        return TLanes.Fold1(quarters, quarters);
    }
}
