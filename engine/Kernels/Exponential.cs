using System.Runtime.CompilerServices;

namespace Distributed.Engine.Kernels;

/// <summary>
/// exp(x) by the same steps, hence with the same bits, in lanes of every width and alone; within 1 ulp.
/// </summary>
/// <remarks>
/// x = n ln 2 + r with |r| at most ln 2 / 2, the logarithm in two parts of which n times the first is exact (Cody and Waite, Software
/// Manual for the Elementary Functions, 1980); exp(r) = 1 + r + r^2 q(r), q of degree 4 by Remez' exchange for the least relative
/// error, 3.1e-9. exp(0) is exactly 1, exp(-infinity) and all below -104 exactly 0, and a result too large is infinity.
/// </remarks>
internal static class Exponential
{
    private const float Least = -104f;
    private const float Greatest = 89f;
    private const float Log2E = 1.44269504f;

    // Adding and subtracting 1.5 x 2^23 rounds to the nearest integer.
    private const float RoundMagic = 12582912f;
    private const float Ln2High = 0.693359375f;
    private const float Ln2Low = -2.12194440e-4f;
    private const float Q0 = 0.49999993432f;
    private const float Q1 = 0.16666520399f;
    private const float Q2 = 0.041668390788f;
    private const float Q3 = 0.0083687451104f;
    private const float Q4 = 0.0013814539962f;

    /// <summary>exp of each lane; NaN stays NaN.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TLanes Exp<TLanes>(TLanes x)
        where TLanes : unmanaged, ILanes<TLanes>
    {
        x = TLanes.Greater(TLanes.Create(Least), x);
        x = TLanes.Lesser(TLanes.Create(Greatest), x);
        var magic = TLanes.Create(RoundMagic);
        var n = TLanes.FusedMultiplyAdd(x, TLanes.Create(Log2E), magic) - magic;
        var r = TLanes.FusedMultiplyAdd(n, TLanes.Create(-Ln2High), x);
        r = TLanes.FusedMultiplyAdd(n, TLanes.Create(-Ln2Low), r);
        var q = TLanes.FusedMultiplyAdd(TLanes.Create(Q4), r, TLanes.Create(Q3));
        q = TLanes.FusedMultiplyAdd(q, r, TLanes.Create(Q2));
        q = TLanes.FusedMultiplyAdd(q, r, TLanes.Create(Q1));
        q = TLanes.FusedMultiplyAdd(q, r, TLanes.Create(Q0));
        q = TLanes.FusedMultiplyAdd(q, r * r, r) + TLanes.Create(1f);

        // 2^n in two factors, as n = 128 and the subnormal results are outside of one.
        var half = TLanes.FusedMultiplyAdd(n, TLanes.Create(0.5f), magic) - magic;
        return q * TLanes.PowerOfTwo(half) * TLanes.PowerOfTwo(n - half);
    }

    /// <summary>exp of one number, with the bits that a lane would have.</summary>
    public static float Exp(float x)
    {
        x = Least > x ? Least : x;
        x = Greatest < x ? Greatest : x;
        var n = MathF.FusedMultiplyAdd(x, Log2E, RoundMagic) - RoundMagic;
        var r = MathF.FusedMultiplyAdd(n, -Ln2High, x);
        r = MathF.FusedMultiplyAdd(n, -Ln2Low, r);
        var q = MathF.FusedMultiplyAdd(Q4, r, Q3);
        q = MathF.FusedMultiplyAdd(q, r, Q2);
        q = MathF.FusedMultiplyAdd(q, r, Q1);
        q = MathF.FusedMultiplyAdd(q, r, Q0);
        q = MathF.FusedMultiplyAdd(q, r * r, r) + 1f;
        var half = MathF.FusedMultiplyAdd(n, 0.5f, RoundMagic) - RoundMagic;
        return q * PowerOfTwo(half) * PowerOfTwo(n - half);
    }

    private static float PowerOfTwo(float exponent)
        => BitConverter.Int32BitsToSingle(BitConverter.SingleToInt32Bits(exponent + FloatBits.ExponentMagic) << 23);
}
