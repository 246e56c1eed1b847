using System.Runtime.InteropServices;

namespace Distributed.Engine.Kernels.Emission;

/// <summary>What an emitted function of quantised products reads: its one argument, as <see cref="TileArguments"/> are; it counts down and moves on in place.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct QuantizedArguments
{
    /// <summary>The first tile's first weights, behind its first scales.</summary>
    public nint Weights;

    /// <summary>Bytes from the first tile of a pair to the second: 0 where one has no neighbour.</summary>
    public nint TileStride;

    /// <summary>Bytes from a pair to the next.</summary>
    public nint PairStride;

    /// <summary>Pairs, at least 1.</summary>
    public nint PairCount;

    /// <summary>The first token's first block.</summary>
    public nint Inputs;

    /// <summary>Bytes from a token to the next.</summary>
    public nint TokenStride;

    /// <summary>Blocks, at least 1.</summary>
    public nint BlockCount;

    /// <summary>[pair, token] vectors, a lane a row: what sums start from and, in the end, are.</summary>
    public nint Sums;

    /// <summary>Four times the byte that makes weights unsigned (8 bits: 0x80) or takes halves apart (4 bits: 0x0F).</summary>
    public nint Mask;
}
