using System.Runtime.CompilerServices;

namespace Distributed.Engine.Kernels;

/// <summary>Up to four rows of weights against up to four tokens: the sums of <see cref="LinearKernel"/>, some side by side.</summary>
internal unsafe struct LinearTile
{
    private const int BlockByteCount = 64;
    private readonly nint _blockCount;
    private readonly uint _tailByteCount;
    private readonly nint _groupByteCount;
    private readonly nint _paddedGroupLength;
    private readonly nint _rowByteCount;
    private readonly nint _tokenStride;
    private readonly byte* _padding;

    /// <summary>The first row's weights.</summary>
    public byte* Weights;

    /// <summary>The first token's activations.</summary>
    public float* Inputs;

    /// <param name="weights">The matrix.</param>
    /// <param name="inputs">The activations.</param>
    /// <param name="elementSize">Bytes of a weight.</param>
    /// <param name="padding">[row, 64] zeros for four rows: where the last, incomplete blocks of a group are completed.</param>
    public LinearTile(in LinearWeights weights, in LinearInputs inputs, int elementSize, byte* padding)
    {
        _groupByteCount = (nint)weights.GroupLength * elementSize;
        _blockCount = _groupByteCount / BlockByteCount;
        _tailByteCount = (uint)(_groupByteCount % BlockByteCount);
        _paddedGroupLength = LinearKernel.PaddedLength(weights.GroupLength, elementSize);
        _rowByteCount = weights.RowByteCount;
        _tokenStride = inputs.TokenStride;
        _padding = padding;
    }

    /// <summary>One row, one token: the sum in lane 0.</summary>
    public readonly TLanes Sum1x1<TLanes, TFormat>(int group, int groupCount)
        where TLanes : unmanaged, ILanes<TLanes>
        where TFormat : struct, IWeightFormat
        => groupCount == 1
            ? Dot1x1<TLanes, TFormat>(group)
            : Sum1x1<TLanes, TFormat>(group, groupCount / 2) + Sum1x1<TLanes, TFormat>(group + (groupCount / 2), groupCount / 2);

    /// <summary>Four rows, one token: lane 0 of quarter r holds the sum of row r.</summary>
    public readonly TLanes Sum4x1<TLanes, TFormat>(int group, int groupCount)
        where TLanes : unmanaged, ILanes<TLanes>
        where TFormat : struct, IWeightFormat
        => groupCount == 1
            ? Dot4x1<TLanes, TFormat>(group)
            : Sum4x1<TLanes, TFormat>(group, groupCount / 2) + Sum4x1<TLanes, TFormat>(group + (groupCount / 2), groupCount / 2);

    /// <summary>Two rows, two tokens: lane 0 of quarter 2t + r holds the sum of row r and token t.</summary>
    public readonly TLanes Sum2x2<TLanes, TFormat>(int group, int groupCount)
        where TLanes : unmanaged, ILanes<TLanes>
        where TFormat : struct, IWeightFormat
        => groupCount == 1
            ? Dot2x2<TLanes, TFormat>(group)
            : Sum2x2<TLanes, TFormat>(group, groupCount / 2) + Sum2x2<TLanes, TFormat>(group + (groupCount / 2), groupCount / 2);

    /// <summary>Four rows, four tokens: lane r of quarter t holds the sum of row r and token t.</summary>
    public readonly TLanes Sum4x4<TLanes, TFormat>(int group, int groupCount)
        where TLanes : unmanaged, ILanes<TLanes>
        where TFormat : struct, IWeightFormat
        => groupCount == 1
            ? Dot4x4<TLanes, TFormat>(group)
            : Sum4x4<TLanes, TFormat>(group, groupCount / 2) + Sum4x4<TLanes, TFormat>(group + (groupCount / 2), groupCount / 2);

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private readonly TLanes Dot1x1<TLanes, TFormat>(int group)
        where TLanes : unmanaged, ILanes<TLanes>
        where TFormat : struct, IWeightFormat
    {
        var row = Weights + (group * _groupByteCount);
        PadTails(row, 1);
        var x = Inputs + (group * _paddedGroupLength);
        var sum = TLanes.Create(0);
        var tail = _tailByteCount != 0;
        for (var blocks = _blockCount; ; blocks = 1)
        {
            for (; blocks > 0; blocks--)
            {
                TFormat.Load<TLanes>(row, out var even, out var odd);
                sum = TLanes.FusedMultiplyAdd(even, TLanes.Load(x), sum);
                if (TFormat.HasPairs)
                {
                    sum = TLanes.FusedMultiplyAdd(odd, TLanes.Load(x + 16), sum);
                    x += 16;
                }

                x += 16;
                row += BlockByteCount;
            }

            if (!tail)
            {
                break;
            }

            row = _padding;
            tail = false;
        }

        sum = TLanes.Fold8(sum, sum);
        sum = TLanes.Fold4(sum, sum);
        sum = TLanes.Fold2(sum, sum);
        return TLanes.Fold1(sum, sum);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private readonly TLanes Dot4x1<TLanes, TFormat>(int group)
        where TLanes : unmanaged, ILanes<TLanes>
        where TFormat : struct, IWeightFormat
    {
        var row0 = Weights + (group * _groupByteCount);
        var row1 = row0 + _rowByteCount;
        var row2 = row1 + _rowByteCount;
        var row3 = row2 + _rowByteCount;
        PadTails(row0, 4);
        var x = Inputs + (group * _paddedGroupLength);

        // The next four rows, in the order of their addresses: memory sees one ascending stream, whatever the tile's own order.
        var ahead = Weights + (4 * _rowByteCount) + (4 * group * _groupByteCount);
        var sum0 = TLanes.Create(0);
        var sum1 = sum0;
        var sum2 = sum0;
        var sum3 = sum0;
        var tail = _tailByteCount != 0;
        for (var blocks = _blockCount; ; blocks = 1)
        {
            for (; blocks > 0; blocks--)
            {
                TLanes.Prefetch(ahead);
                TLanes.Prefetch(ahead + BlockByteCount);
                TLanes.Prefetch(ahead + (2 * BlockByteCount));
                TLanes.Prefetch(ahead + (3 * BlockByteCount));
                ahead += 4 * BlockByteCount;
                TFormat.Load<TLanes>(row0, out var even0, out var odd0);
                TFormat.Load<TLanes>(row1, out var even1, out var odd1);
                TFormat.Load<TLanes>(row2, out var even2, out var odd2);
                TFormat.Load<TLanes>(row3, out var even3, out var odd3);
                var xEven = TLanes.Load(x);
                sum0 = TLanes.FusedMultiplyAdd(even0, xEven, sum0);
                sum1 = TLanes.FusedMultiplyAdd(even1, xEven, sum1);
                sum2 = TLanes.FusedMultiplyAdd(even2, xEven, sum2);
                sum3 = TLanes.FusedMultiplyAdd(even3, xEven, sum3);
                if (TFormat.HasPairs)
                {
                    var xOdd = TLanes.Load(x + 16);
                    sum0 = TLanes.FusedMultiplyAdd(odd0, xOdd, sum0);
                    sum1 = TLanes.FusedMultiplyAdd(odd1, xOdd, sum1);
                    sum2 = TLanes.FusedMultiplyAdd(odd2, xOdd, sum2);
                    sum3 = TLanes.FusedMultiplyAdd(odd3, xOdd, sum3);
                    x += 16;
                }

                x += 16;
                row0 += BlockByteCount;
                row1 += BlockByteCount;
                row2 += BlockByteCount;
                row3 += BlockByteCount;
            }

            if (!tail)
            {
                break;
            }

            row0 = _padding;
            row1 = _padding + BlockByteCount;
            row2 = _padding + (2 * BlockByteCount);
            row3 = _padding + (3 * BlockByteCount);
            tail = false;
        }

        var quarters = TLanes.Fold4(TLanes.Fold8(sum0, sum1), TLanes.Fold8(sum2, sum3));
        quarters = TLanes.Fold2(quarters, quarters);
        return TLanes.Fold1(quarters, quarters);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private readonly TLanes Dot2x2<TLanes, TFormat>(int group)
        where TLanes : unmanaged, ILanes<TLanes>
        where TFormat : struct, IWeightFormat
    {
        var row0 = Weights + (group * _groupByteCount);
        var row1 = row0 + _rowByteCount;
        PadTails(row0, 2);
        var x0 = Inputs + (group * _paddedGroupLength);
        var x1 = x0 + _tokenStride;
        var sum00 = TLanes.Create(0); // [row, token]
        var sum01 = sum00;
        var sum10 = sum00;
        var sum11 = sum00;
        var tail = _tailByteCount != 0;
        for (var blocks = _blockCount; ; blocks = 1)
        {
            for (; blocks > 0; blocks--)
            {
                TFormat.Load<TLanes>(row0, out var even0, out var odd0);
                TFormat.Load<TLanes>(row1, out var even1, out var odd1);
                var xEven0 = TLanes.Load(x0);
                var xEven1 = TLanes.Load(x1);
                sum00 = TLanes.FusedMultiplyAdd(even0, xEven0, sum00);
                sum10 = TLanes.FusedMultiplyAdd(even1, xEven0, sum10);
                sum01 = TLanes.FusedMultiplyAdd(even0, xEven1, sum01);
                sum11 = TLanes.FusedMultiplyAdd(even1, xEven1, sum11);
                if (TFormat.HasPairs)
                {
                    var xOdd0 = TLanes.Load(x0 + 16);
                    var xOdd1 = TLanes.Load(x1 + 16);
                    sum00 = TLanes.FusedMultiplyAdd(odd0, xOdd0, sum00);
                    sum10 = TLanes.FusedMultiplyAdd(odd1, xOdd0, sum10);
                    sum01 = TLanes.FusedMultiplyAdd(odd0, xOdd1, sum01);
                    sum11 = TLanes.FusedMultiplyAdd(odd1, xOdd1, sum11);
                    x0 += 16;
                    x1 += 16;
                }

                x0 += 16;
                x1 += 16;
                row0 += BlockByteCount;
                row1 += BlockByteCount;
            }

            if (!tail)
            {
                break;
            }

            row0 = _padding;
            row1 = _padding + BlockByteCount;
            tail = false;
        }

        var quarters = TLanes.Fold4(TLanes.Fold8(sum00, sum10), TLanes.Fold8(sum01, sum11));
        quarters = TLanes.Fold2(quarters, quarters);
        return TLanes.Fold1(quarters, quarters);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private readonly TLanes Dot4x4<TLanes, TFormat>(int group)
        where TLanes : unmanaged, ILanes<TLanes>
        where TFormat : struct, IWeightFormat
    {
        var row0 = Weights + (group * _groupByteCount);
        var row1 = row0 + _rowByteCount;
        var row2 = row1 + _rowByteCount;
        var row3 = row2 + _rowByteCount;
        PadTails(row0, 4);
        var x0 = Inputs + (group * _paddedGroupLength);
        var x1 = x0 + _tokenStride;
        var x2 = x1 + _tokenStride;
        var x3 = x2 + _tokenStride;
        var zero = TLanes.Create(0);
        TLanes sum00 = zero, sum01 = zero, sum02 = zero, sum03 = zero; // [row, token]
        TLanes sum10 = zero, sum11 = zero, sum12 = zero, sum13 = zero;
        TLanes sum20 = zero, sum21 = zero, sum22 = zero, sum23 = zero;
        TLanes sum30 = zero, sum31 = zero, sum32 = zero, sum33 = zero;
        var tail = _tailByteCount != 0;
        for (var blocks = _blockCount; ; blocks = 1)
        {
            for (; blocks > 0; blocks--)
            {
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

            if (!tail)
            {
                break;
            }

            row0 = _padding;
            row1 = _padding + BlockByteCount;
            row2 = _padding + (2 * BlockByteCount);
            row3 = _padding + (3 * BlockByteCount);
            tail = false;
        }

        // Quarter t of each vector: what is left of one row and token t.
        var left0 = TLanes.Fold4(TLanes.Fold8(sum00, sum01), TLanes.Fold8(sum02, sum03));
        var left1 = TLanes.Fold4(TLanes.Fold8(sum10, sum11), TLanes.Fold8(sum12, sum13));
        var left2 = TLanes.Fold4(TLanes.Fold8(sum20, sum21), TLanes.Fold8(sum22, sum23));
        var left3 = TLanes.Fold4(TLanes.Fold8(sum30, sum31), TLanes.Fold8(sum32, sum33));
        return TLanes.Fold1(TLanes.Fold2(left0, left1), TLanes.Fold2(left2, left3));
    }

    // Completes the last blocks of the rows beforehand: the end of a group may be the end of the mapped file, behind which nothing may
    // be read, and a call in the midst of a tile would send its accumulators to memory in every turn of the loop.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private readonly void PadTails(byte* row, int rowCount)
    {
        if (_tailByteCount != 0)
        {
            CopyTails(row + (_blockCount * BlockByteCount), rowCount);
        }
    }

    private readonly void CopyTails(byte* tail, int rowCount)
    {
        for (var row = 0; row < rowCount; row++)
        {
            Unsafe.CopyBlockUnaligned(_padding + (row * BlockByteCount), tail + (row * _rowByteCount), _tailByteCount);
        }
    }
}
