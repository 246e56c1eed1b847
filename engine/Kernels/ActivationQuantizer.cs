using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Distributed.Engine.Kernels;

/// <summary>Activations as <see cref="QuantizedKernel"/> reads them: blocks of 32 in 8 bits, x = scale x q with scale = max |x| / 127.</summary>
/// <remarks>Every operation rounds as IEEE 754 says, so all machines give the same blocks.</remarks>
internal static unsafe class ActivationQuantizer
{
    /// <summary>Quantises one canonical group of a token.</summary>
    /// <param name="source">[length]</param>
    /// <param name="lead">Zeros before the first element, fewer than a block has.</param>
    /// <param name="length">Elements; the last block is padded with zeros.</param>
    /// <param name="destination">[blocks of 40 bytes], see <see cref="QuantizedLayout"/>.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Quantize(float* source, int lead, int length, byte* destination)
    {
        if (lead > 0)
        {
            var count = Math.Min(length, QuantizedLayout.BlockLength - lead);
            QuantizePart(source, lead, count, destination);
            source += count;
            length -= count;
            destination += QuantizedLayout.ActivationByteCount;
        }

        for (; length >= QuantizedLayout.BlockLength; length -= QuantizedLayout.BlockLength)
        {
            QuantizeBlock(source, destination);
            source += QuantizedLayout.BlockLength;
            destination += QuantizedLayout.ActivationByteCount;
        }

        if (length > 0)
        {
            QuantizePart(source, 0, length, destination);
        }
    }

    private static void QuantizePart(float* source, int lead, int length, byte* destination)
    {
        var padded = stackalloc float[QuantizedLayout.BlockLength];
        new Span<float>(padded, QuantizedLayout.BlockLength).Clear();
        new ReadOnlySpan<float>(source, length).CopyTo(new Span<float>(padded + lead, length));
        QuantizeBlock(padded, destination);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void QuantizeBlock(float* x, byte* block)
    {
        var x0 = Vector256.Load(x);
        var x1 = Vector256.Load(x + 8);
        var x2 = Vector256.Load(x + 16);
        var x3 = Vector256.Load(x + 24);
        var greatest = Vector256.Max(
            Vector256.Max(Vector256.Abs(x0), Vector256.Abs(x1)), Vector256.Max(Vector256.Abs(x2), Vector256.Abs(x3))); // NaN prevails
        var half = Vector128.Max(greatest.GetLower(), greatest.GetUpper());
        var max = MathF.Max(MathF.Max(half[0], half[1]), MathF.Max(half[2], half[3]));

        // Of a block so small that 127 / max would overflow nothing is left; one that is not finite has a scale that is not either.
        var inverse = 127 / max;
        var factor = Vector256.Create(float.IsFinite(inverse) ? inverse : 0);
        var q0 = Round(x0 * factor);
        var q1 = Round(x1 * factor);
        var q2 = Round(x2 * factor);
        var q3 = Round(x3 * factor);
        Vector256.Store(Vector256.Narrow(Vector256.Narrow(q0, q1), Vector256.Narrow(q2, q3)), (sbyte*)block);
        *(float*)(block + QuantizedLayout.ActivationScaleOffset) = max / 127;
        *(int*)(block + QuantizedLayout.ActivationSumOffset) = -Vector256.Sum(q0 + q1 + q2 + q3);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<int> Round(Vector256<float> value) => Vector256.ConvertToInt32(Vector256.Round(value));
}
