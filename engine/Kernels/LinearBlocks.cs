using System.Numerics;
using System.Runtime.CompilerServices;

namespace Distributed.Engine.Kernels;

/// <summary>
/// Several tokens against several rows of weights: the sums of <see cref="LinearKernel"/> when arithmetic sets the pace.
/// </summary>
/// <remarks>
/// A <em>tile</em> of 4 rows x 4 tokens (2 x 2 where registers are few) loads each operand once for four products. Tiles are taken in
/// <em>blocks</em> of 16 rows x 16 tokens, and a block <em>panel</em> by panel: a canonical group, or an equal part of at most 768 elements of
/// one. The activations of a tile's tokens in a panel fit the first-level cache, where they serve all rows of the block; the rows come from
/// the second level. A tile whose group has several panels puts its sums down between them, which changes none.
/// </remarks>
internal unsafe ref struct LinearBlocks<TLanes, TFormat>
    where TLanes : unmanaged, ILanes<TLanes>
    where TFormat : struct, IWeightFormat
{
    /// <summary>Rows, and tokens, of a block.</summary>
    public const int BlockLength = 16;

    /// <summary>Bytes of scratch memory, aligned or not.</summary>
    public const int ScratchByteCount = ((SumCount + (LevelCount * TileCount)) * LanesByteCount) + (4 * BlockByteCount);

    private const int BlockByteCount = 64;
    private const int MaxPanelLength = 768;
    private const int LanesByteCount = 16 * sizeof(float);
    private const int SumCount = BlockLength * BlockLength;
    private const int TileCount = SumCount / (2 * 2); // of the smaller tiles in a block
    private const int LevelCount = 4; // of the tree over at most 8 groups

    private readonly LinearWeights _weights;
    private readonly LinearInputs _inputs;
    private readonly LinearOutputs _outputs;
    private readonly nint _paddedGroupLength;
    private readonly int _panelLength;
    private readonly TLanes* _sums; // [tile, row, token]
    private readonly TLanes* _levels; // [level, tile]
    private readonly byte* _padding; // [row, 64]

    /// <param name="weights">The matrix.</param>
    /// <param name="inputs">The activations.</param>
    /// <param name="outputs">Where the sums go.</param>
    /// <param name="scratch">[<see cref="ScratchByteCount"/>]</param>
    public LinearBlocks(in LinearWeights weights, in LinearInputs inputs, in LinearOutputs outputs, byte* scratch)
    {
        _weights = weights;
        _inputs = inputs;
        _outputs = outputs;
        _paddedGroupLength = LinearKernel.PaddedLength(weights.GroupLength, TFormat.ElementSize);
        var panelCount = (weights.GroupLength + MaxPanelLength - 1) / MaxPanelLength;
        _panelLength = ((weights.GroupLength / panelCount) + 32) & ~31; // whole blocks in either format
        _sums = (TLanes*)scratch;
        _levels = _sums + SumCount;
        _padding = (byte*)(_levels + (LevelCount * TileCount));
        new Span<byte>(_padding, 4 * BlockByteCount).Clear();
    }

    /// <summary>Rows, and tokens, of a tile.</summary>
    public static int TileLength
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => TLanes.HasLargeRegisterFile ? 4 : 2;
    }

    /// <summary>Computes a block.</summary>
    /// <param name="row">The first row.</param>
    /// <param name="rowCount">Rows: at most 16, a multiple of <see cref="TileLength"/>.</param>
    /// <param name="token">The first token.</param>
    /// <param name="tokenCount">Tokens: at most 16, a multiple of <see cref="TileLength"/>.</param>
    public readonly void Multiply(int row, int rowCount, int token, int tokenCount)
    {
        for (var group = 0; group < _weights.GroupCount; group++)
        {
            for (var start = 0; start < _weights.GroupLength; start += _panelLength)
            {
                MultiplyPanel(row, rowCount, token, tokenCount, group, start);
            }
        }

        var level = BitOperations.Log2((uint)_weights.GroupCount);
        var tile = 0;
        for (var t = token; t < token + tokenCount; t += TileLength)
        {
            for (var r = row; r < row + rowCount; r += TileLength)
            {
                Store(_levels[(level * TileCount) + tile++], r, t);
            }
        }
    }

    private readonly void MultiplyPanel(int row, int rowCount, int token, int tokenCount, int group, int start)
    {
        var isFirst = start == 0;
        var isLast = start + _panelLength >= _weights.GroupLength;
        var byteCount = (nint)Math.Min(_panelLength, _weights.GroupLength - start) * TFormat.ElementSize;
        var blockCount = byteCount / BlockByteCount;
        var tailByteCount = (uint)(byteCount % BlockByteCount);
        var data = (byte*)_weights.Data + ((((nint)group * _weights.GroupLength) + start) * TFormat.ElementSize);
        var offset = (group * _paddedGroupLength) + start;
        var tile = 0;
        for (var t = token; t < token + tokenCount; t += TileLength)
        {
            var x = _inputs.Token(t) + offset;
            var (aheadRow, aheadRowCount) = RowsToPrefetch(t, tokenCount);
            for (var r = row; r < row + rowCount; r += TileLength, tile++)
            {
                var rows = data + (r * _weights.RowByteCount);
                if (tailByteCount != 0)
                {
                    CopyTails(rows + (blockCount * BlockByteCount), tailByteCount);
                }

                var sums = _sums + (tile * TileLength * TileLength);
                var ahead = rows + ((BlockLength + aheadRow) * _weights.RowByteCount);
                var value = TLanes.HasLargeRegisterFile
                    ? Tile4x4(rows, x, blockCount, tailByteCount != 0, ahead, aheadRowCount, sums, isFirst, isLast)
                    : Tile2x2(rows, x, blockCount, tailByteCount != 0, ahead, aheadRowCount, sums, isFirst, isLast);
                if (isLast)
                {
                    AddToTree(group, tile, value);
                }
            }
        }
    }

    // The first tokens to come to a block of rows ask for the next one, in equal parts: memory is then busy all the time.
    private static (int First, int Count) RowsToPrefetch(int token, int tokenCount)
    {
        var count = (TileLength + (tokenCount / TileLength) - 1) / (tokenCount / TileLength);
        var first = token / TileLength * count;
        return first < TileLength ? (first, count) : (0, 0);
    }

    // As a binary counter counts: two complete neighbours make their parent.
    private readonly void AddToTree(int group, int tile, TLanes value)
    {
        var level = _levels + tile;
        for (; (group & 1) != 0; group >>= 1, level += TileCount)
        {
            value = *level + value;
        }

        *level = value;
    }

    private readonly void Store(TLanes value, int row, int token)
    {
        if (TLanes.HasLargeRegisterFile)
        {
            TLanes.StoreQuarters(value, _outputs.Token(token) + row, _outputs.TokenStride);
            return;
        }

        var sums = stackalloc float[4]; // [token, row]
        TLanes.StoreFirsts(value, sums);
        for (var t = 0; t < 2; t++)
        {
            _outputs.Token(token + t)[row] = sums[2 * t];
            _outputs.Token(token + t)[row + 1] = sums[(2 * t) + 1];
        }
    }

    // The end of a group may be the end of the mapped file, behind which nothing may be read.
    private readonly void CopyTails(byte* tail, uint byteCount)
    {
        for (var row = 0; row < TileLength; row++)
        {
            Unsafe.CopyBlockUnaligned(_padding + (row * BlockByteCount), tail + (row * _weights.RowByteCount), byteCount);
        }
    }

    // Lane r of quarter t of the result holds the sum of row r and token t.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private readonly TLanes Tile4x4(byte* row0, float* x0, nint blockCount, bool hasTail, byte* ahead, int aheadRowCount, TLanes* sums, bool isFirst, bool isLast)
    {
        var rowByteCount = _weights.RowByteCount;
        var row1 = row0 + rowByteCount;
        var row2 = row1 + rowByteCount;
        var row3 = row2 + rowByteCount;
        var x1 = x0 + _inputs.TokenStride;
        var x2 = x1 + _inputs.TokenStride;
        var x3 = x2 + _inputs.TokenStride;
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
    private readonly TLanes Tile2x2(byte* row0, float* x0, nint blockCount, bool hasTail, byte* ahead, int aheadRowCount, TLanes* sums, bool isFirst, bool isLast)
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
