using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Distributed.Engine.Kernels;

/// <summary>A width of block-quantised weights; <see cref="QuantizedLayout"/> describes both.</summary>
internal unsafe interface IQuantizedFormat
{
    /// <summary>Bytes of a tile's weights for one block, its scales not counted.</summary>
    static abstract int BlockByteCount { get; }

    /// <inheritdoc cref="IQuantizedDot.Int8"/>
    static abstract Vector256<int> Dot<TDot>(byte* weights, sbyte* x, int minusSum)
        where TDot : struct, IQuantizedDot;

    /// <summary>Quantises one row's block and puts it into its places in the tile's block.</summary>
    /// <param name="values">32 weights.</param>
    /// <param name="row">The row in the tile, 0 to 7.</param>
    /// <param name="block">The tile's scales and, behind them, its weights.</param>
    static abstract void Store(ReadOnlySpan<float> values, int row, byte* block);
}

/// <summary>Eight bits: q = w / scale from -127 to 127, scale = max |w| / 127.</summary>
internal readonly unsafe struct Int8Format : IQuantizedFormat
{
    public static int BlockByteCount => QuantizedLayout.TileRowCount * QuantizedLayout.BlockLength;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> Dot<TDot>(byte* weights, sbyte* x, int minusSum)
        where TDot : struct, IQuantizedDot
        => TDot.Int8(weights, x, minusSum);

    public static void Store(ReadOnlySpan<float> values, int row, byte* block)
    {
        var scale = BlockScale.AwayFromZero(BlockScale.Greatest(values, out _) / 127);
        ((ushort*)block)[row] = BlockScale.ToBits(scale);
        var inverse = scale == 0 ? 0 : 1 / scale;
        var weights = (sbyte*)block + QuantizedLayout.ScalesByteCount + (4 * row);
        for (var k = 0; k < values.Length; k++)
        {
            weights[(32 * (k / 4)) + (k % 4)] = (sbyte)Math.Clamp(MathF.Round(values[k] * inverse), -127, 127);
        }
    }
}

/// <summary>
/// Four bits: q = w / scale from -8 to 7, where the weight of the greatest magnitude is -8: the range has one more number on that side.
/// </summary>
internal readonly unsafe struct Int4Format : IQuantizedFormat
{
    public static int BlockByteCount => QuantizedLayout.TileRowCount * QuantizedLayout.BlockLength / 2;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> Dot<TDot>(byte* weights, sbyte* x, int minusSum)
        where TDot : struct, IQuantizedDot
        => TDot.Int4(weights, x, minusSum);

    public static void Store(ReadOnlySpan<float> values, int row, byte* block)
    {
        var greatest = BlockScale.Greatest(values, out var negative);
        var scale = BlockScale.AwayFromZero((negative ? greatest : -greatest) / 8);
        ((ushort*)block)[row] = BlockScale.ToBits(scale);
        var inverse = scale == 0 ? 0 : 1 / scale;
        var weights = block + QuantizedLayout.ScalesByteCount + (4 * row);
        for (var k = 0; k < values.Length / 2; k++)
        {
            weights[(32 * (k / 4)) + (k % 4)] = (byte)(Quantize(values[k]) | (Quantize(values[16 + k]) << 4));
        }

        int Quantize(float value) => (int)Math.Clamp(MathF.Round(value * inverse) + 8, 0, 15);
    }
}

/// <summary>The scale of a block, stored as bfloat16.</summary>
internal static class BlockScale
{
    /// <summary>The greatest magnitude, and whether the first weight that has it is negative; NaN where there is one.</summary>
    public static float Greatest(ReadOnlySpan<float> values, out bool negative)
    {
        var greatest = 0f;
        negative = false;
        foreach (var value in values)
        {
            var magnitude = MathF.Abs(value);
            if (magnitude > greatest || float.IsNaN(magnitude))
            {
                (greatest, negative) = (magnitude, value < 0);
                if (float.IsNaN(magnitude))
                {
                    break; // what is not a number stays so: the step's check names the layer
                }
            }
        }

        return greatest;
    }

    /// <summary>The next bfloat16 that is not nearer to zero: no quotient by it leaves the range.</summary>
    public static float AwayFromZero(float scale)
        => float.IsFinite(scale) ? BitConverter.UInt32BitsToSingle((BitConverter.SingleToUInt32Bits(scale) + 0xFFFF) & 0xFFFF0000) : scale;

    /// <summary>The upper half.</summary>
    public static ushort ToBits(float scale) => (ushort)(BitConverter.SingleToUInt32Bits(scale) >> 16);
}
