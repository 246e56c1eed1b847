using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Distributed.Engine.Kernels;

/// <summary>What a kernel takes activations as.</summary>
internal enum ActivationForm
{
    /// <summary>float32 in their order, for float32 weights: blocks of 16.</summary>
    InOrder,

    /// <summary>float32, each block of 32 as its 16 even elements, then its 16 odd ones, for 16-bit weights.</summary>
    Pairs,

    /// <summary>As <see cref="Pairs"/>, rounded to bfloat16 and the 16 odd elements before the even ones: see <see cref="FusedBFloat16Products{TLanes}"/>.</summary>
    RoundedPairs,

    /// <summary>bfloat16 in their order, blocks of 32, for dot products of pairs.</summary>
    BFloat16,

    /// <summary>Blocks of 32 in 8 bits, for quantised weights: see <see cref="QuantizedLayout"/>.</summary>
    Quantized,
}

/// <summary>How the activations of one token lie for the kernel of a weight matrix: in groups, padded to whole blocks.</summary>
/// <param name="GroupCount">Canonical groups; 0 for a layer of which the rank has nothing.</param>
/// <param name="GroupLength">Elements of a group.</param>
/// <param name="Form">What the kernel takes.</param>
/// <param name="LeadLength">
/// Zeros in the first block before the elements, where quantised weights in a file begin within a block; only with one group, fewer than a block has.
/// </param>
internal readonly unsafe record struct ActivationLayout(int GroupCount, int GroupLength, ActivationForm Form, int LeadLength = 0)
{
    private const int FloatsPerLine = 16;

    /// <summary>
    /// Floats of a token with all padding. Of bfloat16 an odd number of cache lines: several tokens are read side by side, and at a distance of a power of two they would
    /// fall on the same few lines of the first-level cache.
    /// </summary>
    public int PaddedLength
        => Form == ActivationForm.BFloat16 ? GroupCount * PaddedGroupLength | FloatsPerLine : GroupCount * PaddedGroupLength;

    private int PaddedGroupLength => (GroupCount, Form) switch
    {
        (0, _) => 0,
        (_, ActivationForm.Quantized) => QuantizedLayout.BlockCount(LeadLength + GroupLength) * QuantizedLayout.ActivationFloatCount,
        (_, ActivationForm.Pairs or ActivationForm.RoundedPairs) => LinearKernel.PaddedLength(GroupLength, sizeof(ushort)),
        (_, ActivationForm.BFloat16) => LinearKernel.PaddedLength(GroupLength, sizeof(ushort)) / 2,
        _ => LinearKernel.PaddedLength(GroupLength, sizeof(float)),
    };

    /// <summary>Writes x [group, element] as the kernel reads it.</summary>
    /// <param name="source">[GroupCount x GroupLength]</param>
    /// <param name="destination">[PaddedLength]</param>
    public void Arrange(float* source, float* destination)
    {
        var padded = PaddedGroupLength;
        for (var group = 0; group < GroupCount; group++)
        {
            switch (Form)
            {
                case ActivationForm.Quantized:
                    ActivationQuantizer.Quantize(source, LeadLength, GroupLength, (byte*)destination);
                    break;
                case ActivationForm.Pairs:
                    SplitPairs(source, destination, GroupLength);
                    break;
                case ActivationForm.RoundedPairs:
                    BFloat16Rounding.SplitPairs(source, destination, GroupLength);
                    break;
                case ActivationForm.BFloat16:
                    BFloat16Rounding.Narrow(source, (ushort*)destination, GroupLength);
                    break;
                default:
                    Unsafe.CopyBlockUnaligned(destination, source, (uint)GroupLength * sizeof(float));
                    new Span<float>(destination + GroupLength, padded - GroupLength).Clear();
                    break;
            }

            source += GroupLength;
            destination += padded;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void SplitPairs(float* source, float* destination, int length)
    {
        for (; length >= 32; length -= 32, source += 32, destination += 32)
        {
            for (var j = 0; j < 16; j += 8)
            {
                // A pair is one number of 64 bits, whose lower half comes first in memory.
                var pairs0 = Vector256.Load((ulong*)(source + (2 * j)));
                var pairs1 = Vector256.Load((ulong*)(source + (2 * j) + 8));
                Vector256.Narrow(pairs0, pairs1).Store((uint*)(destination + j));
                Vector256.Narrow(pairs0 >> 32, pairs1 >> 32).Store((uint*)(destination + 16 + j));
            }
        }

        if (length > 0)
        {
            new Span<float>(destination, 32).Clear();
            for (var k = 0; k < length; k++)
            {
                destination[(k / 2) + (16 * (k % 2))] = source[k];
            }
        }
    }
}
