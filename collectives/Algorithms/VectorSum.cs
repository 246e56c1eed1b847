using System.Diagnostics;
using System.Numerics;
using System.Runtime.InteropServices;

namespace Distributed.Collectives.Algorithms;

/// <summary>Element-wise sums.</summary>
internal static class VectorSum
{
    /// <summary>sum[i] = left[i] + right[i]</summary>
    /// <param name="left">[element]</param>
    /// <param name="right">[element]</param>
    /// <param name="sum">[element]; may be <paramref name="left"/> or <paramref name="right"/>, but not overlap either otherwise.</param>
    public static void Add(ReadOnlySpan<float> left, ReadOnlySpan<float> right, Span<float> sum)
    {
        Debug.Assert(left.Length == sum.Length && right.Length == sum.Length, "The lengths differ.");
        ref var l = ref MemoryMarshal.GetReference(left);
        ref var r = ref MemoryMarshal.GetReference(right);
        ref var s = ref MemoryMarshal.GetReference(sum);
        var i = 0;
        for (; i <= sum.Length - Vector<float>.Count; i += Vector<float>.Count)
        {
            (Vector.LoadUnsafe(ref l, (nuint)i) + Vector.LoadUnsafe(ref r, (nuint)i)).StoreUnsafe(ref s, (nuint)i);
        }

        for (; i < sum.Length; i++)
        {
            sum[i] = left[i] + right[i];
        }
    }
}
