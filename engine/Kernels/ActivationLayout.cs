using System.Runtime.CompilerServices;

namespace Distributed.Engine.Kernels;

/// <summary>How the activations of one token lie for the kernel of a weight matrix: in groups, padded, and split for 16-bit weights.</summary>
/// <param name="GroupCount">Canonical groups; 0 for a layer of which the rank has nothing.</param>
/// <param name="GroupLength">Elements of a group.</param>
/// <param name="ElementSize">Bytes of a weight: with 2 each block of 32 becomes its 16 even elements, then its 16 odd ones.</param>
internal readonly unsafe record struct ActivationLayout(int GroupCount, int GroupLength, int ElementSize)
{
    /// <summary>Floats of a token with all padding.</summary>
    public int PaddedLength => GroupCount * PaddedGroupLength;

    private int PaddedGroupLength => GroupCount == 0 ? 0 : LinearKernel.PaddedLength(GroupLength, ElementSize);

    /// <summary>Writes x [group, element] as the kernel reads it.</summary>
    /// <param name="source">[GroupCount x GroupLength]</param>
    /// <param name="destination">[PaddedLength]</param>
    public void Arrange(float* source, float* destination)
    {
        var padded = PaddedGroupLength;
        for (var group = 0; group < GroupCount; group++)
        {
            if (ElementSize == 2)
            {
                SplitPairs(source, destination, GroupLength);
            }
            else
            {
                Unsafe.CopyBlockUnaligned(destination, source, (uint)GroupLength * sizeof(float));
                new Span<float>(destination + GroupLength, padded - GroupLength).Clear();
            }

            source += GroupLength;
            destination += padded;
        }
    }

    private static void SplitPairs(float* source, float* destination, int length)
    {
        for (; length >= 32; length -= 32, source += 32, destination += 32)
        {
            for (var j = 0; j < 16; j++)
            {
                destination[j] = source[2 * j];
                destination[16 + j] = source[(2 * j) + 1];
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
