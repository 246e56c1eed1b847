namespace Distributed.Engine.Kernels;

/// <summary>The bit patterns by which all implementations of the lanes widen 16-bit floats and build powers of two.</summary>
internal static class FloatBits
{
    /// <summary>
    /// 1.5 x 2^23 + 127. Added to an integral float it leaves the integer, plus the bias of an exponent, in the low bits of the
    /// sum; shifted up by 23 these are the power of two.
    /// </summary>
    public const float ExponentMagic = 12582912f + 127f;

    /// <summary>Sign, exponent and fraction of a half that stood in the upper 16 bits, after an arithmetic shift by 3.</summary>
    public const int HalfMask = unchecked((int)0x8FFFE000);

    /// <summary>
    /// 2^112: the masked bits are the half's value x 2^-112 for every finite half, a subnormal one included, because binary32 has
    /// exponents to spare below it; the product is exact.
    /// </summary>
    public const float HalfScale = 5.192296858534828e33f;

    /// <summary>From here on the masked bits, without their sign, are those of an infinity or NaN, whose exponent must be set.</summary>
    public const int HalfInfinity = 0x0F800000;

    /// <summary>The exponent of an infinity.</summary>
    public const int Infinity = 0x7F800000;

    /// <summary>A bfloat16 in the upper half of a word, as it is; the one in the lower half comes up by a shift of 16.</summary>
    public const uint BFloat16Mask = 0xFFFF0000;

    /// <summary>The nearest bfloat16, ties to even; NaN stays one.</summary>
    public static ushort ToBFloat16(float value)
    {
        var bits = BitConverter.SingleToUInt32Bits(value);
        return float.IsNaN(value) ? (ushort)((bits >> 16) | 0x40) : (ushort)((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
    }
}
