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
internal unsafe ref partial struct LinearBlocks<TLanes, TFormat>
    where TLanes : unmanaged, ILanes<TLanes>
    where TFormat : struct, IWeightFormat
{
    /// <summary>Rows, and tokens, of a block.</summary>
    public const int BlockLength = 16;

    /// <summary>Bytes of scratch memory, aligned or not: within them it is aligned, so that no sum lies across two cache lines.</summary>
    public const int ScratchByteCount = ((SumCount + (LevelCount * TileCount)) * LanesByteCount) + (4 * BlockByteCount) + LanesByteCount;

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
        _sums = (TLanes*)((nint)(scratch + LanesByteCount - 1) & -LanesByteCount);
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

    /// <summary>
    /// Of so many tokens those that go in tiles; the others are left to <see cref="LinearRows"/>. Three tokens in a tile of four are quicker than one by one, and so
    /// are two where there are no others (processor time of steps of the 110M model: 3 tokens 26 % less, 2 tokens 13 %, 7 tokens 5 %; 6 tokens took 4 % more).
    /// </summary>
    public static int TokensInTiles(int tokenCount)
        => tokenCount == 2 || tokenCount % TileLength == 3 ? tokenCount : tokenCount - (tokenCount % TileLength);

    /// <summary>Computes a block.</summary>
    /// <param name="row">The first row.</param>
    /// <param name="rowCount">Rows: at most 16, a multiple of <see cref="TileLength"/>.</param>
    /// <param name="token">The first token.</param>
    /// <param name="tokenCount">Tokens: at most 16.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
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
                Store(_levels[(level * TileCount) + tile++], r, t, Math.Min(TileLength, token + tokenCount - t));
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
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
            var lastToken = Math.Min(TileLength, token + tokenCount - t) - 1;
            var (aheadRow, aheadRowCount) = RowsToPrefetch(t, (tokenCount + TileLength - 1) / TileLength);
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
                    ? Tile4x4(rows, x, lastToken, blockCount, tailByteCount != 0, ahead, aheadRowCount, sums, isFirst, isLast)
                    : Tile2x2(rows, x, blockCount, tailByteCount != 0, ahead, aheadRowCount, sums, isFirst, isLast);
                if (isLast)
                {
                    AddToTree(group, tile, value);
                }
            }
        }
    }

    // The first tokens to come to a block of rows ask for the next one, in equal parts: memory is then busy all the time.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static (int First, int Count) RowsToPrefetch(int token, int tileCount)
    {
        var count = (TileLength + tileCount - 1) / tileCount;
        var first = token / TileLength * count;
        return first < TileLength ? (first, count) : (0, 0);
    }

    // As a binary counter counts: two complete neighbours make their parent.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private readonly void AddToTree(int group, int tile, TLanes value)
    {
        var level = _levels + tile;
        for (; (group & 1) != 0; group >>= 1, level += TileCount)
        {
            value = *level + value;
        }

        *level = value;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private readonly void Store(TLanes value, int row, int token, int tokenCount)
    {
        if (TLanes.HasLargeRegisterFile && tokenCount < 4)
        {
            var quarters = stackalloc float[16]; // [token, row]
            TLanes.StoreQuarters(value, quarters, 4);
            for (var t = 0; t < tokenCount; t++)
            {
                new ReadOnlySpan<float>(quarters + (4 * t), 4).CopyTo(new Span<float>(_outputs.Token(token + t) + row, 4));
            }

            return;
        }

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
}
