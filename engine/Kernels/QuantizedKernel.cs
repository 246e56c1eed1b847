using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

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
    /// <summary>Computes the outputs of rows [<paramref name="rowStart"/>, <paramref name="rowEnd"/>) for all tokens.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Multiply<TDot, TFormat>(
        in QuantizedWeights weights, in LinearInputs inputs, in LinearOutputs outputs, int rowStart, int rowEnd)
        where TDot : struct, IQuantizedDot
        where TFormat : struct, IQuantizedFormat
    {
        const int TileRowCount = QuantizedLayout.TileRowCount;
        var blockCount = QuantizedLayout.BlockCount(weights.GroupLength);
        for (var tile = rowStart / TileRowCount; tile * TileRowCount < rowEnd; tile++)
        {
            // All tokens pass over a tile before the next one: memory gives each tile once.
            var data = (byte*)weights.Data + (tile * weights.TileByteCount);
            for (var token = 0; token < inputs.TokenCount; token++)
            {
                var sums = Sum<TDot, TFormat>(data, (byte*)inputs.Token(token), blockCount, weights.GroupCount);
                var row = tile * TileRowCount;
                var output = outputs.Token(token) + row;
                if (row >= rowStart && row + TileRowCount <= rowEnd)
                {
                    Vector256.Store(sums, output);
                    continue;
                }

                for (var lane = Math.Max(rowStart - row, 0); lane < Math.Min(rowEnd - row, TileRowCount); lane++)
                {
                    output[lane] = sums.GetElement(lane);
                }
            }
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
            var dots = TFormat.Dot<TDot>(tile + QuantizedLayout.ScalesByteCount, (sbyte*)x, *(int*)(x + QuantizedLayout.ActivationSumOffset));
            var (lower, upper) = Vector128.Widen(Vector128.Load((ushort*)tile));
            var scales = (Vector256.Create(lower, upper) << 16).AsSingle() * *(float*)(x + QuantizedLayout.ActivationScaleOffset);
            sums = Vector256.FusedMultiplyAdd(Vector256.ConvertToSingle(dots), scales, sums);
            tile += QuantizedLayout.ScalesByteCount + TFormat.BlockByteCount;
            x += QuantizedLayout.ActivationByteCount;
        }

        return sums;
    }
}
