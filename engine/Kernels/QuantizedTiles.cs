using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Distributed.Engine.Kernels;

/// <summary>
/// One token against four tiles side by side: the sums of <see cref="QuantizedKernel"/> for parts of longer rows, as a rank has them of wo and w2 in a file that
/// has all ranks'. Such a part is a few KiB, then comes what belongs to others, and the hardware has to find the stream of memory again with every tile. It finds
/// four in the time of one.
/// </summary>
/// <remarks>
/// A Zen 4, two ranks of one thread: parts of 8.5 KiB (wo of 2048 x 2048 in 8 bits) came at 15 GB/s after 10, of 23 KiB (w2 of 2048 x 5632) at 21 after 13; whole tiles
/// come at 28.
/// </remarks>
internal static unsafe class QuantizedTiles
{
    /// <summary>Tiles at once.</summary>
    public const int TileCount = 4;

    /// <summary>Floats of their sums: [tile, row].</summary>
    public const int SumsLength = TileCount * QuantizedLayout.TileRowCount;

    /// <summary>Computes the sums of four tiles.</summary>
    /// <param name="weights">The matrix.</param>
    /// <param name="tile">The first tile.</param>
    /// <param name="x">The token's activations.</param>
    /// <param name="sums">[<see cref="SumsLength"/>]</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Sum<TDot, TFormat>(in QuantizedWeights weights, int tile, byte* x, float* sums)
        where TDot : struct, IQuantizedDot
        where TFormat : struct, IQuantizedFormat
    {
        var blockCount = QuantizedLayout.BlockCount(weights.GroupLength);
        var data = (byte*)weights.Data + (tile * weights.TileByteCount);
        var byteCount = weights.GroupCount * (nint)blockCount * (QuantizedLayout.ScalesByteCount + TFormat.BlockByteCount);
        var part = new TilePart((nint)data + byteCount - QuantizedKernel.Ahead, weights.TileByteCount, (TileCount * weights.TileByteCount) - byteCount);
        Sum<TDot, TFormat>(data, part, x, blockCount, weights.GroupCount, sums);
    }

    // The group tree: neighbours, then neighbours of those.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Sum<TDot, TFormat>(byte* tiles, in TilePart part, byte* x, int blockCount, int groupCount, float* sums)
        where TDot : struct, IQuantizedDot
        where TFormat : struct, IQuantizedFormat
    {
        var blockByteCount = QuantizedLayout.ScalesByteCount + TFormat.BlockByteCount;
        if (groupCount > 1)
        {
            var half = groupCount / 2;
            var right = stackalloc float[SumsLength];
            Sum<TDot, TFormat>(tiles, part, x, blockCount, half, sums);
            tiles += (nint)half * blockCount * blockByteCount;
            x += (nint)half * blockCount * QuantizedLayout.ActivationByteCount;
            Sum<TDot, TFormat>(tiles, part, x, blockCount, half, right);
            for (var i = 0; i < SumsLength; i += QuantizedLayout.TileRowCount)
            {
                (Vector256.Load(sums + i) + Vector256.Load(right + i)).Store(sums + i);
            }

            return;
        }

        var near = (int)Math.Clamp((part.LastAhead - (nint)tiles + blockByteCount - 1) / blockByteCount, 0, blockCount);
        new Span<float>(sums, SumsLength).Clear();
        Add<TDot, TFormat>(tiles, part.TileByteCount, x, near, sums, QuantizedKernel.Ahead);
        tiles += (nint)near * blockByteCount;
        x += (nint)near * QuantizedLayout.ActivationByteCount;
        Add<TDot, TFormat>(tiles, part.TileByteCount, x, blockCount - near, sums, QuantizedKernel.Ahead + part.Gap);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Add<TDot, TFormat>(byte* tile0, nint tileByteCount, byte* x, int blockCount, float* sums, nint ahead)
        where TDot : struct, IQuantizedDot
        where TFormat : struct, IQuantizedFormat
    {
        var sum0 = Vector256.Load(sums);
        var sum1 = Vector256.Load(sums + QuantizedLayout.TileRowCount);
        var sum2 = Vector256.Load(sums + (2 * QuantizedLayout.TileRowCount));
        var sum3 = Vector256.Load(sums + (3 * QuantizedLayout.TileRowCount));
        for (; blockCount > 0; blockCount--)
        {
            sum0 = QuantizedKernel.Add<TDot, TFormat>(tile0, x, sum0, ahead);
            sum1 = QuantizedKernel.Add<TDot, TFormat>(tile0 + tileByteCount, x, sum1, ahead);
            sum2 = QuantizedKernel.Add<TDot, TFormat>(tile0 + (2 * tileByteCount), x, sum2, ahead);
            sum3 = QuantizedKernel.Add<TDot, TFormat>(tile0 + (3 * tileByteCount), x, sum3, ahead);
            tile0 += QuantizedLayout.ScalesByteCount + TFormat.BlockByteCount;
            x += QuantizedLayout.ActivationByteCount;
        }

        sum0.Store(sums);
        sum1.Store(sums + QuantizedLayout.TileRowCount);
        sum2.Store(sums + (2 * QuantizedLayout.TileRowCount));
        sum3.Store(sums + (3 * QuantizedLayout.TileRowCount));
    }

    /// <summary>What a rank has of a tile.</summary>
    /// <param name="LastAhead">From here on, in the first tile, what lies <see cref="QuantizedKernel.Ahead"/> is not the rank's.</param>
    /// <param name="TileByteCount">Bytes from a tile to the next.</param>
    /// <param name="Gap">Bytes between what the rank has of the first tile and of that which follows the four.</param>
    private readonly record struct TilePart(nint LastAhead, nint TileByteCount, nint Gap);
}
