using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Distributed.Engine.Kernels;

/// <summary>Activations rounded to bfloat16, to the nearest and of two to the even one; NaN stays NaN.</summary>
internal static unsafe class BFloat16Rounding
{
    private const int BlockLength = 32;

    /// <summary>Writes <see cref="ActivationForm.BFloat16"/>.</summary>
    /// <param name="source">[length]</param>
    /// <param name="destination">[length rounded up to blocks of 32] of 16 bits.</param>
    /// <param name="length">Elements; those behind them become zeros.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Narrow(float* source, ushort* destination, int length)
    {
        for (; length >= BlockLength; length -= BlockLength, source += BlockLength, destination += BlockLength)
        {
            NarrowBlock(source, destination);
        }

        if (length > 0)
        {
            var padded = stackalloc float[BlockLength];
            Pad(source, padded, length);
            NarrowBlock(padded, destination);
        }
    }

    /// <summary>Writes <see cref="ActivationForm.RoundedPairs"/>.</summary>
    /// <param name="source">[length]</param>
    /// <param name="destination">[length rounded up to blocks of 32]</param>
    /// <param name="length">Elements; those behind them become zeros.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void SplitPairs(float* source, float* destination, int length)
    {
        for (; length >= BlockLength; length -= BlockLength, source += BlockLength, destination += BlockLength)
        {
            SplitBlock(source, destination);
        }

        if (length > 0)
        {
            var padded = stackalloc float[BlockLength];
            Pad(source, padded, length);
            SplitBlock(padded, destination);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void NarrowBlock(float* source, ushort* destination)
    {
        for (var k = 0; k < BlockLength; k += 16)
        {
            var lower = Round(Vector256.Load((uint*)source + k)) >> 16;
            var upper = Round(Vector256.Load((uint*)source + k + 8)) >> 16;
            Vector256.Narrow(lower, upper).Store(destination + k);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void SplitBlock(float* source, float* destination)
    {
        for (var j = 0; j < 16; j += 8)
        {
            // A pair is one number of 64 bits, whose lower half comes first in memory.
            var pairs0 = Vector256.Load((ulong*)(source + (2 * j)));
            var pairs1 = Vector256.Load((ulong*)(source + (2 * j) + 8));
            Round(Vector256.Narrow(pairs0 >> 32, pairs1 >> 32)).Store((uint*)(destination + j));
            Round(Vector256.Narrow(pairs0, pairs1)).Store((uint*)(destination + 16 + j));
        }
    }

    private static void Pad(float* source, float* padded, int length)
    {
        new Span<float>(padded, BlockLength).Clear();
        new ReadOnlySpan<float>(source, length).CopyTo(new Span<float>(padded, length));
    }

    // The bits of float32 whose lower half is zero.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<uint> Round(Vector256<uint> bits)
    {
        var rounded = bits + Vector256.Create(0x7FFFu) + ((bits >> 16) & Vector256<uint>.One);
        var value = bits.AsSingle();
        var quiet = bits | Vector256.Create(0x400000u);
        return Vector256.ConditionalSelect(Vector256.Equals(value, value).AsUInt32(), rounded, quiet) & Vector256.Create(FloatBits.BFloat16Mask);
    }
}
