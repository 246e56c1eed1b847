using System.Runtime.CompilerServices;

namespace Distributed.Engine.Kernels;

/// <summary>
/// The products of <see cref="BFloat16Products"/> one multiply-add at a time, for numbers so small that sums may be flushed to zero. Rarely run: trained weights hold
/// few such numbers.
/// </summary>
internal static unsafe class FlushedProducts
{
    private const int LaneCount = 16;
    private const float LeastNormal = 1.17549435e-38f; // 2^-126

    // Half a unit of a 24-bit number below 2^-126: from here on it rounds to 2^-126 and is not flushed.
    private static readonly double LeastKept = Math.ScaleB(1, -126) - Math.ScaleB(1, -151);

    /// <inheritdoc cref="BFloat16Products.Multiply"/>
    public static void Multiply(in LinearWeights weights, in LinearInputs inputs, in LinearOutputs outputs, int rowStart, int rowEnd)
    {
        for (var row = rowStart; row < rowEnd; row++)
        {
            var w = (ushort*)(weights.Data + (row * weights.RowByteCount));
            for (var token = 0; token < inputs.TokenCount; token++)
            {
                outputs.Token(token)[row] = Sum(w, inputs.Token(token), weights.GroupCount, weights.GroupLength);
            }
        }
    }

    private static float Sum(ushort* w, float* x, int groupCount, int groupLength)
    {
        if (groupCount == 1)
        {
            return SumGroup(w, x, groupLength);
        }

        var half = groupCount / 2;
        var padded = LinearKernel.PaddedLength(groupLength, sizeof(ushort));
        return Sum(w, x, half, groupLength) + Sum(w + ((nint)half * groupLength), x + ((nint)half * padded), half, groupLength);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static float SumGroup(ushort* w, float* x, int length)
    {
        var lanes = stackalloc float[LaneCount];
        new Span<float>(lanes, LaneCount).Clear();
        for (; length > 0; length -= 2 * LaneCount, w += 2 * LaneCount, x += 2 * LaneCount)
        {
            for (var lane = 0; lane < LaneCount; lane++)
            {
                // What is beyond the end is zero in the activations too.
                var odd = (2 * lane) + 1 < length ? w[(2 * lane) + 1] : (ushort)0;
                var even = 2 * lane < length ? w[2 * lane] : (ushort)0;
                lanes[lane] = MultiplyAdd(even, x[LaneCount + lane], MultiplyAdd(odd, x[lane], lanes[lane]));
            }
        }

        for (var distance = LaneCount / 2; distance >= 1; distance /= 2)
        {
            for (var lane = 0; lane < distance; lane++)
            {
                lanes[lane] += lanes[lane + distance];
            }
        }

        return lanes[0];
    }

    private static float MultiplyAdd(ushort weight, float x, float sum)
    {
        var w = WithoutDenormal(BitConverter.UInt32BitsToSingle((uint)weight << 16));
        x = WithoutDenormal(x);
        var result = MathF.FusedMultiplyAdd(w, x, sum);
        if (!(MathF.Abs(result) <= LeastNormal) || result == 0)
        {
            return result;
        }

        // A product of 16 bits and a sum of 24 whose result is so small have all their bits in the 53 of a double.
        var exact = Math.FusedMultiplyAdd((double)w, x, sum);
        return Math.Abs(exact) >= LeastKept ? result : MathF.CopySign(0, result);
    }

    private static float WithoutDenormal(float value) => MathF.Abs(value) < LeastNormal ? MathF.CopySign(0, value) : value;
}
