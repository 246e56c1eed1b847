using System.Runtime.CompilerServices;

namespace Distributed.Engine.Kernels;

/// <summary>Turns the pairs of a head: (a, b) becomes (a cos - b sin, a sin + b cos), each product and sum rounded by itself.</summary>
internal static unsafe class RotaryKernel
{
    /// <param name="head">[pair, 2]</param>
    /// <param name="rotations">[pair, 2]: cosine, sine.</param>
    /// <param name="rotated">[pair, 2]</param>
    /// <param name="pairCount">Pairs.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Rotate(float* head, float* rotations, float* rotated, int pairCount)
    {
        for (nint i = 0; i < 2 * pairCount; i += 2)
        {
            var first = head[i];
            var second = head[i + 1];
            rotated[i] = (first * rotations[i]) - (second * rotations[i + 1]);
            rotated[i + 1] = (first * rotations[i + 1]) + (second * rotations[i]);
        }
    }

    /// <summary>As <see cref="Rotate"/>, of a head that has the first elements of all pairs before the second ones.</summary>
    /// <param name="head">[2, pair]</param>
    /// <param name="rotations">[pair, 2]: cosine, sine.</param>
    /// <param name="rotated">[pair, 2]</param>
    /// <param name="pairCount">Pairs.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void RotateHalves(float* head, float* rotations, float* rotated, int pairCount)
    {
        for (nint i = 0; i < pairCount; i++)
        {
            var first = head[i];
            var second = head[i + pairCount];
            rotated[2 * i] = (first * rotations[2 * i]) - (second * rotations[(2 * i) + 1]);
            rotated[(2 * i) + 1] = (first * rotations[(2 * i) + 1]) + (second * rotations[2 * i]);
        }
    }
}
