using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Distributed.Engine.Kernels.Emission;

namespace Distributed.Engine.Kernels;

/// <summary>
/// The products of <see cref="BFloat16Products"/> by the instruction itself, in emitted tiles of four rows and up to four tokens. Here is what lies around the tiles: blocks, panels, the group
/// tree, and where results go.
/// </summary>
/// <remarks>
/// One token passes over rows as memory gives them. Several go in <em>blocks</em> of 16 rows x 16 tokens, and a block <em>panel</em> by panel, as in <see cref="LinearBlocks{TLanes, TFormat}"/>: a part
/// of a group, or several whole groups, whose activations fit the first-level cache beside a tile's rows. A call of a function takes four rows and all tokens of a panel: mostly some hundred
/// nanoseconds, beside which the change to code that the garbage collector need not wait for (some 3 ns) is little.
/// </remarks>
internal sealed unsafe class EmittedBFloat16Products(BFloat16Code code) : BFloat16Products
{
    private const int BlockLength = 16; // rows, and tokens
    private const int TileLength = BFloat16Code.RowCount;
    private const int TilesPerBlock = BlockLength / TileLength;
    private const int StepLength = 32; // elements of a block of a row
    private const int MaxPanelElementCount = 12 << 10; // of all tokens: 24 KiB
    private const int MaxResults = 64; // of a call before they are stored
    private const int MinStreamLength = 512;
    private const int MaxGroupedStreamLength = 1024;
    private const int StreamDistance = 2048; // bytes
    private const int LevelCount = 4; // of the tree over at most 8 groups
    private const int SumsPerTile = TileLength * TileLength;
    private const int VectorByteCount = 64;

    /// <summary>The products of this process; <see langword="null"/> where no code is emitted.</summary>
    public static EmittedBFloat16Products? Shared { get; } = BFloat16Code.Shared is { } code ? new EmittedBFloat16Products(code) : null;

    public override string Name => "emitted AVX512_BF16 dot products";

    public override ActivationForm Form => ActivationForm.BFloat16;

    public override void Multiply(in LinearWeights weights, in LinearInputs inputs, in LinearOutputs outputs, int rowStart, int rowEnd)
    {
        var wholeEnd = IsStream(weights, inputs) ? rowStart : rowStart + ((rowEnd - rowStart) / TileLength * TileLength);
        if (inputs.TokenCount == 1)
        {
            MultiplyFourRows(weights, inputs, outputs, rowStart, wholeEnd);
        }
        else
        {
            MultiplyBlocks(weights, inputs, outputs, rowStart, wholeEnd);
        }

        MultiplyRows(weights, inputs, outputs, wholeEnd, rowEnd);
    }

    // One or two tokens, and rows that are neither so short nor in so many groups that adding across lanes sets the pace: then row after row is the stream that memory is quickest
    // with. 1B's rows of 2048 came at 92 to 98 % of a read-sum where four side by side came at 90 to 95 % (one token), and at 85 to 97 % where they came at 79 to 81 % (two); 110M's rows of 768 in
    // four groups at 50 to 57 % (42 to 48 %), but 2048 in eight groups at 53 to 62 % (75 to 84 %).
    private static bool IsStream(in LinearWeights weights, in LinearInputs inputs)
        => inputs.TokenCount <= 2
            && weights.GroupCount * weights.GroupLength >= MinStreamLength
            && (weights.GroupCount == 1 || weights.GroupCount * weights.GroupLength <= MaxGroupedStreamLength)
            && IsDense(weights);

    // Whether rows follow each other without gaps.
    private static bool IsDense(in LinearWeights weights)
        => weights.RowByteCount == (nint)weights.GroupCount * weights.GroupLength * sizeof(ushort);

    // One token: as many tiles a call as there is room for results.
    [SkipLocalsInit]
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void MultiplyFourRows(in LinearWeights weights, in LinearInputs inputs, in LinearOutputs outputs, int rowStart, int rowEnd)
    {
        var memory = stackalloc byte[(MaxResults + 1) * VectorByteCount];
        var results = Aligned(memory);
        var groupCount = weights.GroupCount;
        var function = code.Tile(TileLength, 1, IsDense(weights) ? TileAhead.FourLines : TileAhead.FourRows);
        var tilesPerCall = MaxResults / groupCount;
        for (var row = rowStart; row < rowEnd; row += tilesPerCall * TileLength)
        {
            var tileCount = Math.Min(tilesPerCall, (rowEnd - row) / TileLength);
            var arguments = Whole(weights, inputs, row, token: 0, tileCount, TileLength, results);
            arguments.Ahead = arguments.Weights + (TileLength * weights.RowByteCount);
            function(&arguments);
            for (var tile = 0; tile < tileCount; tile++)
            {
                Firsts(GroupTree(results + (tile * groupCount), groupCount)).Store(outputs.Token(0) + row + (tile * TileLength));
            }
        }
    }

    // Row by row, up to four tokens at once.
    [SkipLocalsInit]
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void MultiplyRows(in LinearWeights weights, in LinearInputs inputs, in LinearOutputs outputs, int rowStart, int rowEnd)
    {
        var memory = stackalloc byte[(MaxResults + 1) * VectorByteCount];
        var results = Aligned(memory);
        var groupCount = weights.GroupCount;
        var rowsPerCall = MaxResults / groupCount;
        for (var row = rowStart; row < rowEnd; row += rowsPerCall)
        {
            var rowCount = Math.Min(rowsPerCall, rowEnd - row);
            for (var token = 0; token < inputs.TokenCount; token += TileLength)
            {
                var tokenCount = Math.Min(TileLength, inputs.TokenCount - token);
                var arguments = Whole(weights, inputs, row, token, rowCount, 1, results);
                arguments.Ahead = arguments.Weights + StreamDistance;
                code.Tile(1, tokenCount, TileAhead.OneLine)(&arguments);
                for (var index = 0; index < rowCount; index++)
                {
                    var value = GroupTree(results + (index * groupCount), groupCount);
                    for (var t = 0; t < tokenCount; t++)
                    {
                        outputs.Token(token + t)[row + index] = value.GetElement(t * TileLength);
                    }
                }
            }
        }
    }

    [SkipLocalsInit]
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void MultiplyBlocks(in LinearWeights weights, in LinearInputs inputs, in LinearOutputs outputs, int rowStart, int rowEnd)
    {
        const int TileCount = TilesPerBlock * TilesPerBlock;
        var memory = stackalloc byte[((TileCount * SumsPerTile) + (TileCount * (LevelCount + 8)) + 1) * VectorByteCount];
        var scratch = new Scratch(Aligned(memory), TileCount);
        for (var row = rowStart; row < rowEnd; row += BlockLength)
        {
            // All tokens pass over a block of rows before the next one: memory gives each row once.
            var tileCount = Math.Min(TilesPerBlock, (rowEnd - row) / TileLength);
            for (var token = 0; token < inputs.TokenCount; token += BlockLength)
            {
                var tokenCount = Math.Min(BlockLength, inputs.TokenCount - token);
                var roots = MultiplyBlock(weights, inputs, scratch, row, tileCount, token, tokenCount);
                Store(roots, outputs, row, tileCount, token, tokenCount);
            }
        }
    }

    // Returns the roots of the trees: [tile].
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private Vector512<float>* MultiplyBlock(in LinearWeights weights, in LinearInputs inputs, in Scratch scratch, int row, int tileCount, int token, int tokenCount)
    {
        var (groupLength, groupCount) = (weights.GroupLength, weights.GroupCount);
        var padded = LinearKernel.PaddedLength(groupLength, sizeof(ushort));
        var room = MaxPanelElementCount / tokenCount;
        var groupsPerPanel = Math.Min(groupCount, 1 << BitOperations.Log2((uint)Math.Max(1, room / padded)));
        var panelCount = (groupLength + room - 1) / room; // of a group; more than one only where no two groups go together
        var panelLength = ((groupLength / panelCount) + StepLength) & ~(StepLength - 1);
        var wholeTiles = tokenCount / TileLength;
        var isDense = IsDense(weights);
        var (ahead, aheadCount) = WhatIsAhead(token, tokenCount, isDense);
        var aheadPlace = weights.Data + ((row + BlockLength) * weights.RowByteCount);
        var whole = code.Tile(TileLength, TileLength, ahead);
        var rest = tokenCount % TileLength == 0 ? null : code.Tile(TileLength, tokenCount % TileLength, ahead);
        for (var group = 0; group < groupCount; group += groupsPerPanel)
        {
            for (var start = 0; start < groupLength; start += panelLength)
            {
                var length = Math.Min(panelLength, groupLength - start);
                var arguments = new TileArguments
                {
                    RowStride = weights.RowByteCount,
                    TokenStride = inputs.TokenStride * sizeof(float),
                    QuadCount = (length - 1) / StepLength / 4,
                    BlockCount = (length - 1) / StepLength % 4,
                    LastMask = LastMask(length),
                    GroupCount = groupsPerPanel,
                    GroupStep = GroupStep(groupLength),
                    InputStep = TileLength * inputs.TokenStride * sizeof(float),
                    Ahead = aheadPlace,
                    AheadStep = isDense ? (length + StepLength - 1) / StepLength * groupsPerPanel * aheadCount * VectorByteCount : aheadCount * weights.RowByteCount,
                    IsFirst = start == 0 ? 1 : 0,
                    IsLast = start + length == groupLength ? 1 : 0,
                };
                var first = weights.Data + (row * weights.RowByteCount) + ((((nint)group * groupLength) + start) * sizeof(ushort));
                var offset = (((nint)group * padded) + start) * sizeof(ushort);
                for (var tile = 0; tile < tileCount; tile++)
                {
                    arguments.Weights = first + (tile * TileLength * weights.RowByteCount);
                    arguments.Inputs = (nint)inputs.Token(token) + offset;
                    if (!isDense)
                    {
                        arguments.Ahead = arguments.Weights + (BlockLength * weights.RowByteCount);
                    }

                    arguments.Sums = (nint)(scratch.Sums + (tile * TilesPerBlock * SumsPerTile));
                    arguments.Results = (nint)(scratch.Results + (tile * TilesPerBlock * groupsPerPanel));
                    if (wholeTiles > 0)
                    {
                        arguments.TileCount = wholeTiles;
                        whole(&arguments);
                    }

                    if (rest is not null)
                    {
                        arguments.TileCount = 1;
                        rest(&arguments);
                    }
                }

                aheadPlace = arguments.Ahead;
                if (arguments.IsLast != 0)
                {
                    AddToTrees(scratch, group, groupsPerPanel, tileCount, tokenCount);
                }
            }
        }

        return scratch.Levels + (BitOperations.Log2((uint)(groupCount / groupsPerPanel)) * scratch.TileCount);
    }

    // The first tokens to come to a block of rows ask for the next block, each tile for its part, so that memory is busy all the time: in the order of addresses, or, where
    // rows are part of longer ones, row by row.
    private static (TileAhead Ahead, int Count) WhatIsAhead(int token, int tokenCount, bool isDense)
        => token > 0 ? (TileAhead.Nothing, 0) : ((tokenCount + TileLength - 1) / TileLength) switch
        {
            1 => isDense ? (TileAhead.FourLines, 4) : (TileAhead.FourRows, 0),
            2 or 3 => isDense ? (TileAhead.TwoLines, 2) : (TileAhead.TwoRows, 2),
            _ => (TileAhead.OneLine, 1),
        };

    // Groups come in ascending order: two complete neighbours make their parent, as a binary counter counts.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void AddToTrees(in Scratch scratch, int group, int groupCount, int tileCount, int tokenCount)
    {
        for (var t = 0; t < tokenCount; t += TileLength)
        {
            for (var tile = 0; tile < tileCount; tile++)
            {
                var index = (tile * TilesPerBlock) + (t / TileLength);
                var results = scratch.Results + (index * groupCount);
                var value = GroupTree(results, groupCount);
                var level = scratch.Levels + index;
                for (var place = group / groupCount; (place & 1) != 0; place >>= 1, level += scratch.TileCount)
                {
                    value = *level + value;
                }

                *level = value;
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Store(Vector512<float>* roots, in LinearOutputs outputs, int row, int tileCount, int token, int tokenCount)
    {
        for (var t = 0; t < tokenCount; t++)
        {
            var isAlone = t % TileLength == 0 && t + 1 == tokenCount; // its tile's only token
            var tiles = roots + (t / TileLength);
            var output = outputs.Token(token + t) + row;
            for (var tile = 0; tile < tileCount; tile++)
            {
                var sums = isAlone ? Firsts(tiles[tile * TilesPerBlock]) : Vector128.Load((float*)(tiles + (tile * TilesPerBlock)) + (t % TileLength * TileLength));
                sums.Store(output + (tile * TileLength));
            }
        }
    }

    // Lane 0 of each quarter.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<float> Firsts(Vector512<float> value)
        => Vector512.Shuffle(value, Vector512.Create(0, 4, 8, 12, 0, 4, 8, 12, 0, 4, 8, 12, 0, 4, 8, 12)).GetLower().GetLower();

    // Neighbours, then neighbours of those.
    private static Vector512<float> GroupTree(Vector512<float>* groups, int count)
        => count switch
        {
            1 => groups[0],
            2 => groups[0] + groups[1],
            _ => GroupTree(groups, count / 2) + GroupTree(groups + (count / 2), count / 2),
        };

    // Whole rows with all their groups.
    private static TileArguments Whole(
        in LinearWeights weights, in LinearInputs inputs, int row, int token, int tileCount, int rowsPerTile, Vector512<float>* results)
    {
        var first = weights.Data + (row * weights.RowByteCount);
        return new TileArguments
        {
            Weights = first,
            RowStride = weights.RowByteCount,
            Inputs = (nint)inputs.Token(token),
            TokenStride = inputs.TokenStride * sizeof(float),
            QuadCount = (weights.GroupLength - 1) / StepLength / 4,
            BlockCount = (weights.GroupLength - 1) / StepLength % 4,
            LastMask = LastMask(weights.GroupLength),
            GroupCount = weights.GroupCount,
            GroupStep = GroupStep(weights.GroupLength),
            TileCount = tileCount,
            WeightStep = rowsPerTile * weights.RowByteCount,
            AheadStep = rowsPerTile * weights.RowByteCount,
            IsFirst = 1,
            IsLast = 1,
            Results = (nint)results,
        };
    }

    private static nint LastMask(int length) => (nint)(uint.MaxValue >> (StepLength - 1 - ((length - 1) % StepLength)));

    private static nint GroupStep(int groupLength) => ((nint)groupLength - ((groupLength - 1) / StepLength * StepLength)) * sizeof(ushort);

    private static Vector512<float>* Aligned(byte* memory) => (Vector512<float>*)((nint)(memory + VectorByteCount - 1) & -VectorByteCount);

    /// <summary>What a block has beside its operands.</summary>
    private readonly struct Scratch(Vector512<float>* memory, int tileCount)
    {
        /// <summary>Tiles of a block.</summary>
        public readonly int TileCount = tileCount;

        /// <summary>[tile, token, row]: the sums of a group between two panels.</summary>
        public readonly Vector512<float>* Sums = memory;

        /// <summary>[tile, group of a panel]: the sums of groups.</summary>
        public readonly Vector512<float>* Results = memory + (tileCount * SumsPerTile);

        /// <summary>[level, tile]: what waits for its neighbour in the tree over groups.</summary>
        public readonly Vector512<float>* Levels = memory + (tileCount * (SumsPerTile + 8));
    }
}
