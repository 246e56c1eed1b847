using System.Runtime.InteropServices;

namespace Distributed.Engine.Kernels.Emission;

/// <summary>
/// What an emitted tile function reads: it has this one argument, so that it is the same under every calling convention but for the register that holds it. It counts down and
/// moves on in place.
/// </summary>
[StructLayout(LayoutKind.Sequential)]
internal struct TileArguments
{
    /// <summary>The first row's first element of the tile.</summary>
    public nint Weights;

    /// <summary>Bytes from a row to the next.</summary>
    public nint RowStride;

    /// <summary>The first token's first element.</summary>
    public nint Inputs;

    /// <summary>Bytes from a token to the next.</summary>
    public nint TokenStride;

    /// <summary>Fours of blocks of a group.</summary>
    public nint QuadCount;

    /// <summary>Blocks between those and the group's last one, which may be incomplete.</summary>
    public nint BlockCount;

    /// <summary>A bit for each of the 32 elements of the last block that exist.</summary>
    public nint LastMask;

    /// <summary>Groups, at least 1.</summary>
    public nint GroupCount;

    /// <summary>The function's own.</summary>
    public nint GroupsLeft;

    /// <summary>Bytes from the last block of a group of a row to the first one of the next.</summary>
    public nint GroupStep;

    /// <summary>Tiles, at least 1.</summary>
    public nint TileCount;

    /// <summary>Bytes from a tile's first row to the next one's: 0 for tiles side by side.</summary>
    public nint WeightStep;

    /// <summary>Bytes from a tile's first token to the next one's: 0 for tiles one below the other.</summary>
    public nint InputStep;

    /// <summary>What to ask memory for while the first tile is computed.</summary>
    public nint Ahead;

    /// <summary>Bytes from there to what goes with the next tile.</summary>
    public nint AheadStep;

    /// <summary>[tile, token, row] vectors: where the sums of a group come from that was begun before, and go to where it is not at its end. Only with one group.</summary>
    public nint Sums;

    /// <summary>Not zero where sums start from +0.</summary>
    public nint IsFirst;

    /// <summary>Not zero where the group ends, and its sums are added across lanes.</summary>
    public nint IsLast;

    /// <summary>[tile, group] vectors: lane r of quarter t is the sum of row r and token t; for one token against four rows, lane 0 of quarter r that of row r.</summary>
    public nint Results;
}
