using System.Runtime.CompilerServices;

namespace Distributed.Engine.Kernels;

/// <summary>
/// One token against four rows of weights or one: the sums of <see cref="LinearKernel"/> when memory sets the pace. Four rows side by side
/// hide the latency of the multiply-add, and each activation that is read serves all four.
/// </summary>
internal unsafe struct LinearRows
{
    private const int BlockByteCount = 64;
    private readonly nint _blockCount;
    private readonly uint _tailByteCount;
    private readonly nint _groupByteCount;
    private readonly nint _paddedGroupLength;
    private readonly nint _rowByteCount;
    private readonly nint _aheadStride;
    private readonly nint _tokenStride;
    private readonly byte* _padding;

    /// <summary>The first row's weights.</summary>
    public byte* Weights;

    /// <summary>The first token's activations.</summary>
    public float* Inputs;

    /// <param name="weights">The matrix.</param>
    /// <param name="inputs">The activations.</param>
    /// <param name="elementSize">Bytes of a weight.</param>
    /// <param name="padding">
    /// [row, 64] zeros for four rows: where the last, incomplete blocks of a group are completed. They stay zero where no row writes.
    /// </param>
    public LinearRows(in LinearWeights weights, in LinearInputs inputs, int elementSize, byte* padding)
    {
        _groupByteCount = (nint)weights.GroupLength * elementSize;
        _blockCount = _groupByteCount / BlockByteCount;
        _tailByteCount = (uint)(_groupByteCount % BlockByteCount);
        _paddedGroupLength = LinearKernel.PaddedLength(weights.GroupLength, elementSize);
        _rowByteCount = weights.RowByteCount;
        _aheadStride = _groupByteCount * weights.GroupCount == _rowByteCount ? BlockByteCount : _rowByteCount;
        _tokenStride = inputs.TokenStride;
        _padding = padding;
    }

    /// <summary>One row, one token: the sum in lane 0.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public readonly TLanes Sum1x1<TLanes, TFormat>(int groupCount)
        where TLanes : unmanaged, ILanes<TLanes>
        where TFormat : struct, IWeightFormat
    {
        var tree = default(GroupTree<TLanes>);
        var value = TLanes.Create(0);
        for (var group = 0; group < groupCount; group++)
        {
            value = tree.Add(group, Dot1x1<TLanes, TFormat>(group));
        }

        return value;
    }

    /// <summary>Four rows, one token: lane 0 of quarter r holds the sum of row r.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public readonly TLanes Sum4x1<TLanes, TFormat>(int groupCount)
        where TLanes : unmanaged, ILanes<TLanes>
        where TFormat : struct, IWeightFormat
    {
        var tree = default(GroupTree<TLanes>);
        var value = TLanes.Create(0);
        for (var group = 0; group < groupCount; group++)
        {
            value = tree.Add(group, Dot4x1<TLanes, TFormat>(group));
        }

        return value;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
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

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
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

        // The next four rows, in the order of their addresses: memory sees one ascending stream, whatever the tile's own order. Rows that are
        // part of longer ones are no such stream, and each is asked for by itself.
        var stride = _aheadStride;
        var ahead = Weights + (4 * _rowByteCount) + ((stride == BlockByteCount ? 4 : 1) * group * _groupByteCount);
        var aheadStep = stride == BlockByteCount ? 4 * BlockByteCount : BlockByteCount;
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
                TLanes.Prefetch(ahead + stride);
                TLanes.Prefetch(ahead + (2 * stride));
                TLanes.Prefetch(ahead + (3 * stride));
                ahead += aheadStep;
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

    /// <summary>Groups in ascending order become the root of a binary tree of neighbours over at most eight, as a binary counter counts.</summary>
    private struct GroupTree<TLanes>
        where TLanes : unmanaged, ILanes<TLanes>
    {
        // Left children that wait for their neighbour.
        private TLanes _one;
        private TLanes _two;
        private TLanes _four;

        /// <summary>Adds the next group; of the last one of a whole tree it returns the root.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public TLanes Add(int group, TLanes value)
        {
            if ((group & 1) == 0)
            {
                return _one = value;
            }

            value = _one + value;
            if ((group & 2) == 0)
            {
                return _two = value;
            }

            value = _two + value;
            return (group & 4) == 0 ? _four = value : _four + value;
        }
    }
}
