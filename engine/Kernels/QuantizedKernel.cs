using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Distributed.Engine.Kernels.Emission;

namespace Distributed.Engine.Kernels;

/// <summary>Block-quantised weights as their kernel reads them: [tile, group, block], see <see cref="QuantizedLayout"/>.</summary>
/// <param name="Data">Tile 0.</param>
/// <param name="TileByteCount">Bytes from a tile to the next: more than those of its groups where a file has other ranks' beside them.</param>
/// <param name="GroupCount">Canonical groups in a row, a power of two.</param>
/// <param name="GroupLength">Elements of a group.</param>
internal readonly record struct QuantizedWeights(nint Data, nint TileByteCount, int GroupCount, int GroupLength);

/// <summary>
/// y[token, row] = sum over groups, by the group tree, of sum over blocks of scale(W) scale(x) (q(W) . q(x)).
/// </summary>
/// <remarks>
/// The canonical sum of a group: the blocks' integer dot products, which are exact, are converted to float32, which is exact too, and added in
/// ascending order by fused multiply-add with the product of the two scales, from +0. The group tree is that of <see cref="LinearKernel"/>. A
/// token's sum does not depend on other tokens, on the rows beside it, or on the machine.
/// </remarks>
internal static unsafe class QuantizedKernel
{
    /// <summary>
    /// How far ahead of its use a tile is asked for, in bytes, in the second-level cache. On a Zen 4, of products alone, two threads, with memory at its fastest:
    /// 8-bit weights came at 82 to 87 % of a read-sum without, 90 to 96 % with 640 to 1536, 60 % with 2048 and 44 % with 4096; into the first-level cache, less
    /// than without.
    /// </summary>
    public const int Ahead = 1024;

    private const int LineByteCount = 64;

    /// <summary>
    /// Computes the outputs of rows [<paramref name="rowStart"/>, <paramref name="rowEnd"/>) for all tokens; several at once by emitted <paramref name="code"/>, where that is given.
    /// </summary>
    [SkipLocalsInit]
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Multiply<TDot, TFormat>(
        QuantizedCode? code, in QuantizedWeights weights, in LinearInputs inputs, in LinearOutputs outputs, int rowStart, int rowEnd)
        where TDot : struct, IQuantizedDot
        where TFormat : struct, IQuantizedFormat
    {
        const int TileRowCount = QuantizedLayout.TileRowCount;
        var (tile, tileEnd) = (rowStart / TileRowCount, (rowEnd + TileRowCount - 1) / TileRowCount);
        if (inputs.TokenCount == 1 || (code is null && !TDot.TakesTokens))
        {
            MultiplyTiles<TDot, TFormat>(weights, inputs, outputs, tile, tileEnd, 0, rowStart, rowEnd);
            return;
        }

        var scratch = stackalloc byte[QuantizedTokens<TFormat>.ScratchByteCount];
        var tokens = new QuantizedTokens<TFormat>(weights, inputs, code, scratch);
        var together = inputs.TokenCount - (inputs.TokenCount % tokens.TokensAtOnce == 1 ? 1 : 0); // a last one alone is as fast by itself
        for (; tile < tileEnd; tile += tokens.TilesAtOnce)
        {
            // All tokens pass over these tiles before the next ones: memory gives each tile once.
            var count = Math.Min(tokens.TilesAtOnce, tileEnd - tile);
            for (var token = 0; token < together; token += tokens.TokensAtOnce)
            {
                tokens.Compute(tile, count, token);
                for (var i = 0; i < count; i++)
                {
                    for (var j = 0; j < Math.Min(tokens.TokensAtOnce, together - token); j++)
                    {
                        Store(tokens.Sums(i, j), outputs.Token(token + j), (tile + i) * TileRowCount, rowStart, rowEnd);
                    }
                }
            }

            MultiplyTiles<TDot, TFormat>(weights, inputs, outputs, tile, tile + count, together, rowStart, rowEnd);
        }
    }

    // Token by token, all of them over a tile before the next one.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void MultiplyTiles<TDot, TFormat>(
        in QuantizedWeights weights, in LinearInputs inputs, in LinearOutputs outputs, int tile, int tileEnd, int tokenStart, int rowStart, int rowEnd)
        where TDot : struct, IQuantizedDot
        where TFormat : struct, IQuantizedFormat
    {
        var blockCount = QuantizedLayout.BlockCount(weights.GroupLength);
        var isStream = weights.TileByteCount == weights.GroupCount * (nint)blockCount * (QuantizedLayout.ScalesByteCount + TFormat.BlockByteCount);
        var sums = stackalloc float[QuantizedTiles.SumsLength];
        for (; !isStream && tile + QuantizedTiles.TileCount <= tileEnd; tile += QuantizedTiles.TileCount)
        {
            for (var token = tokenStart; token < inputs.TokenCount; token++)
            {
                QuantizedTiles.Sum<TDot, TFormat>(weights, tile, (byte*)inputs.Token(token), sums);
                for (var i = 0; i < QuantizedTiles.TileCount; i++)
                {
                    var row = (tile + i) * QuantizedLayout.TileRowCount;
                    Store(Vector256.Load(sums + (i * QuantizedLayout.TileRowCount)), outputs.Token(token), row, rowStart, rowEnd);
                }
            }
        }

        for (; tile < tileEnd; tile++)
        {
            var data = (byte*)weights.Data + (tile * weights.TileByteCount);
            for (var token = tokenStart; token < inputs.TokenCount; token++)
            {
                var one = Sum<TDot, TFormat>(data, (byte*)inputs.Token(token), blockCount, weights.GroupCount);
                Store(one, outputs.Token(token), tile * QuantizedLayout.TileRowCount, rowStart, rowEnd);
            }
        }
    }

    // The rows of a tile that are wanted.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store(Vector256<float> sums, float* output, int row, int rowStart, int rowEnd)
    {
        if (row >= rowStart && row + QuantizedLayout.TileRowCount <= rowEnd)
        {
            Vector256.Store(sums, output + row);
            return;
        }

        for (var lane = Math.Max(rowStart - row, 0); lane < Math.Min(rowEnd - row, QuantizedLayout.TileRowCount); lane++)
        {
            output[row + lane] = sums.GetElement(lane);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static Vector256<float> Sum<TDot, TFormat>(byte* tile, byte* x, int blockCount, int groupCount)
        where TDot : struct, IQuantizedDot
        where TFormat : struct, IQuantizedFormat
    {
        if (groupCount == 1)
        {
            return SumGroup<TDot, TFormat>(tile, x, blockCount);
        }

        var half = groupCount / 2;
        var tileStep = (nint)half * blockCount * (QuantizedLayout.ScalesByteCount + TFormat.BlockByteCount);
        var inputStep = (nint)half * blockCount * QuantizedLayout.ActivationByteCount;
        return Sum<TDot, TFormat>(tile, x, blockCount, half) + Sum<TDot, TFormat>(tile + tileStep, x + inputStep, blockCount, half);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static Vector256<float> SumGroup<TDot, TFormat>(byte* tile, byte* x, int blockCount)
        where TDot : struct, IQuantizedDot
        where TFormat : struct, IQuantizedFormat
    {
        var sums = Vector256<float>.Zero;
        for (var block = 0; block < blockCount; block++)
        {
            sums = Add<TDot, TFormat>(tile, x, sums, Ahead);
            tile += QuantizedLayout.ScalesByteCount + TFormat.BlockByteCount;
            x += QuantizedLayout.ActivationByteCount;
        }

        return sums;
    }

    /// <summary>Adds one block of a tile to the sums of its rows, and asks for what lies <paramref name="ahead"/> of it.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Add<TDot, TFormat>(byte* block, byte* x, Vector256<float> sums, nint ahead)
        where TDot : struct, IQuantizedDot
        where TFormat : struct, IQuantizedFormat
    {
        Prefetch<TFormat>(block + ahead);
        var dots = TFormat.Dot<TDot>(block + QuantizedLayout.ScalesByteCount, (sbyte*)x, *(int*)(x + QuantizedLayout.ActivationSumOffset));
        var scales = (Widen((ushort*)block) << 16).AsSingle() * *(float*)(x + QuantizedLayout.ActivationScaleOffset);
        return Vector256.FusedMultiplyAdd(Vector256.ConvertToSingle(dots), scales, sums);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<int> Widen(ushort* scales)
    {
        var eight = Vector128.Load(scales);
        if (Avx2.IsSupported)
        {
            return Avx2.ConvertToVector256Int32(eight);
        }

        var (lower, upper) = Vector128.Widen(eight);
        return Vector256.Create(lower, upper).AsInt32();
    }

    // The lines of a block.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Prefetch<TFormat>(byte* block)
        where TFormat : struct, IQuantizedFormat
    {
        if (!Sse.IsSupported)
        {
            return;
        }

        Sse.Prefetch1(block);
        Sse.Prefetch1(block + LineByteCount);
        if (TFormat.BlockByteCount > 3 * LineByteCount)
        {
            Sse.Prefetch1(block + (2 * LineByteCount));
            Sse.Prefetch1(block + (3 * LineByteCount));
        }
    }
}
