using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Distributed.Engine.Kernels;

/// <summary>
/// The products of <see cref="BFloat16Products"/> on processors without the instruction: two fused multiply-adds a pair, by the tiles of <see cref="LinearKernel"/>.
/// </summary>
/// <remarks>
/// Those know nothing of flushing to zero. They need not where it cannot happen: a product of numbers of 8 bits is a multiple of 2^(a + b - 14), where a and b are the
/// exponents of the smallest operands that are not zero, every sum of such products is too, rounded or not, and with a + b at least -112 none of them but zero
/// is below 2^-126. So rows are looked at first, and those that are too small (or meet too small activations) go one multiply-add at a time.
/// </remarks>
internal sealed unsafe class FusedBFloat16Products<TLanes> : BFloat16Products
    where TLanes : unmanaged, ILanes<TLanes>
{
    // Rows that are looked at, then multiplied while they are in the caches.
    private const int RowCount = 16;

    // The sum of both exponents as they are stored, each with a bias of 127.
    private const uint LeastExponentSum = (2 * 127) - 112;

    /// <summary>The one there is.</summary>
    public static FusedBFloat16Products<TLanes> Shared { get; } = new();

    public override string Name => "pairs of fused multiply-adds";

    public override ActivationForm Form => ActivationForm.RoundedPairs;

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void Multiply(in LinearWeights weights, in LinearInputs inputs, in LinearOutputs outputs, int rowStart, int rowEnd)
    {
        var least = LeastExponent(inputs, weights.GroupCount * LinearKernel.PaddedLength(weights.GroupLength, sizeof(ushort)));
        for (var row = rowStart; row < rowEnd; row += RowCount)
        {
            var end = Math.Min(rowEnd, row + RowCount);
            if (least + LeastExponent(weights, row, end) >= LeastExponentSum)
            {
                LinearKernel.Multiply<TLanes, OddFirstFormat>(weights, inputs, outputs, row, end);
            }
            else
            {
                FlushedProducts.Multiply(weights, inputs, outputs, row, end);
            }
        }
    }

    // Of what is not zero: 0 where something is denormal, 255 and more where there is nothing.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static uint LeastExponent(in LinearInputs inputs, nint length)
    {
        var mask = Vector256.Create(0x7FFFFFFFu);
        var least = Vector256<uint>.AllBitsSet;
        for (var token = 0; token < inputs.TokenCount; token++)
        {
            var x = (uint*)inputs.Token(token);
            for (nint k = 0; k < length; k += 8)
            {
                // Less one, so that zero becomes the greatest number.
                least = Vector256.Min(least, (Vector256.Load(x + k) & mask) - Vector256<uint>.One);
            }
        }

        return LeastOf(least) >> 23;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static uint LeastExponent(in LinearWeights weights, int rowStart, int rowEnd)
    {
        var mask = Vector256.Create((ushort)0x7FFF);
        var least = Vector256<ushort>.AllBitsSet;
        var rest = (uint)ushort.MaxValue;
        nint length = weights.GroupCount * weights.GroupLength;
        for (var row = rowStart; row < rowEnd; row++)
        {
            var w = (ushort*)(weights.Data + (row * weights.RowByteCount));
            nint k = 0;
            for (; k + 16 <= length; k += 16)
            {
                least = Vector256.Min(least, (Vector256.Load(w + k) & mask) - Vector256<ushort>.One);
            }

            for (; k < length; k++)
            {
                rest = Math.Min(rest, (ushort)((w[k] & 0x7FFF) - 1));
            }
        }

        var (lower, upper) = Vector256.Widen(least);
        return (Math.Min(rest, LeastOf(Vector256.Min(lower, upper)) - 1) + 1) >> 7;
    }

    private static uint LeastOf(Vector256<uint> less)
    {
        var least = uint.MaxValue;
        for (var i = 0; i < Vector256<uint>.Count; i++)
        {
            least = Math.Min(least, less[i]);
        }

        return least == uint.MaxValue ? least : least + 1;
    }
}

/// <summary>bfloat16 whose odd elements come first, to meet <see cref="ActivationForm.RoundedPairs"/>.</summary>
internal readonly unsafe struct OddFirstFormat : IWeightFormat
{
    public static int ElementSize => sizeof(ushort);

    public static bool HasPairs => true;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Load<TLanes>(byte* block, out TLanes even, out TLanes odd)
        where TLanes : unmanaged, ILanes<TLanes>
        => TLanes.LoadBFloat16(block, out odd, out even);
}
