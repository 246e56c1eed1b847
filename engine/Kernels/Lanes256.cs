using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Distributed.Engine.Kernels;

/// <summary>Sixteen lanes in two AVX2 registers: lanes 0 to 7 and 8 to 15.</summary>
[method: MethodImpl(MethodImplOptions.AggressiveInlining)]
internal readonly unsafe struct Lanes256(Vector256<float> low, Vector256<float> high) : ILanes<Lanes256>
{
    private readonly Vector256<float> _low = low;
    private readonly Vector256<float> _high = high;

    public static bool IsSupported => Avx2.IsSupported && Fma.IsSupported;

    public static bool HasLargeRegisterFile => false;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 Create(float value) => new(Vector256.Create(value), Vector256.Create(value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 Load(float* source) => new(Vector256.Load(source), Vector256.Load(source + 8));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(Lanes256 value, float* destination)
    {
        value._low.Store(destination);
        value._high.Store(destination + 8);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void LoadBFloat16(byte* source, out Lanes256 even, out Lanes256 odd)
    {
        var low = Vector256.Load((uint*)source);
        var high = Vector256.Load((uint*)source + 8);
        var mask = Vector256.Create(FloatBits.BFloat16Mask);
        even = new((low << 16).AsSingle(), (high << 16).AsSingle());
        odd = new((low & mask).AsSingle(), (high & mask).AsSingle());
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void LoadFloat16(byte* source, out Lanes256 even, out Lanes256 odd)
    {
        var low = Vector256.Load((int*)source);
        var high = Vector256.Load((int*)source + 8);
        even = new(Widen(low << 16), Widen(high << 16));
        odd = new(Widen(low), Widen(high));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 WidenBFloat16(ushort* source)
        => new(
            (Avx2.ConvertToVector256Int32(source) << 16).AsSingle(),
            (Avx2.ConvertToVector256Int32(source + 8) << 16).AsSingle());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 WidenInt8(sbyte* source)
        => new(
            Vector256.ConvertToSingle(Avx2.ConvertToVector256Int32(source)),
            Vector256.ConvertToSingle(Avx2.ConvertToVector256Int32(source + 8)));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 operator +(Lanes256 left, Lanes256 right) => new(left._low + right._low, left._high + right._high);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 operator -(Lanes256 left, Lanes256 right) => new(left._low - right._low, left._high - right._high);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 operator *(Lanes256 left, Lanes256 right) => new(left._low * right._low, left._high * right._high);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 operator /(Lanes256 left, Lanes256 right) => new(left._low / right._low, left._high / right._high);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 FusedMultiplyAdd(Lanes256 left, Lanes256 right, Lanes256 addend)
        => new(
            Vector256.FusedMultiplyAdd(left._low, right._low, addend._low),
            Vector256.FusedMultiplyAdd(left._high, right._high, addend._high));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 Greater(Lanes256 candidate, Lanes256 current)
        => new(
            Vector256.ConditionalSelect(Vector256.GreaterThan(candidate._low, current._low), candidate._low, current._low),
            Vector256.ConditionalSelect(Vector256.GreaterThan(candidate._high, current._high), candidate._high, current._high));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 Lesser(Lanes256 candidate, Lanes256 current)
        => new(
            Vector256.ConditionalSelect(Vector256.LessThan(candidate._low, current._low), candidate._low, current._low),
            Vector256.ConditionalSelect(Vector256.LessThan(candidate._high, current._high), candidate._high, current._high));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 PowerOfTwo(Lanes256 exponent)
    {
        var magic = Vector256.Create(FloatBits.ExponentMagic);
        return new(
            ((exponent._low + magic).AsInt32() << 23).AsSingle(),
            ((exponent._high + magic).AsInt32() << 23).AsSingle());
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 Fold8(Lanes256 left, Lanes256 right) => new(left._low + left._high, right._low + right._high);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 Fold4(Lanes256 left, Lanes256 right) => new(FoldHalves(left), FoldHalves(right));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 Fold2(Lanes256 left, Lanes256 right)
        => new(
            Avx.Shuffle(left._low, right._low, 0b01_00_01_00) + Avx.Shuffle(left._low, right._low, 0b11_10_11_10),
            Avx.Shuffle(left._high, right._high, 0b01_00_01_00) + Avx.Shuffle(left._high, right._high, 0b11_10_11_10));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes256 Fold1(Lanes256 left, Lanes256 right)
        => new(
            Avx.Shuffle(left._low, right._low, 0b10_00_10_00) + Avx.Shuffle(left._low, right._low, 0b11_01_11_01),
            Avx.Shuffle(left._high, right._high, 0b10_00_10_00) + Avx.Shuffle(left._high, right._high, 0b11_01_11_01));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreFirsts(Lanes256 value, float* destination)
    {
        destination[0] = value._low.ToScalar();
        destination[1] = value._low.GetUpper().ToScalar();
        destination[2] = value._high.ToScalar();
        destination[3] = value._high.GetUpper().ToScalar();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreQuarters(Lanes256 value, float* destination, nint stride)
    {
        value._low.GetLower().Store(destination);
        value._low.GetUpper().Store(destination + stride);
        value._high.GetLower().Store(destination + (2 * stride));
        value._high.GetUpper().Store(destination + (3 * stride));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float First(Lanes256 value) => value._low.ToScalar();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Prefetch(byte* address) => Sse.Prefetch1(address);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> FoldHalves(Lanes256 value)
        => Avx.Permute2x128(value._low, value._high, 0x20) + Avx.Permute2x128(value._low, value._high, 0x31);

    // The half in the upper 16 bits of each word; see FloatBits.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> Widen(Vector256<int> words)
    {
        var bits = (words >> 3) & Vector256.Create(FloatBits.HalfMask);
        var scaled = bits.AsSingle() * Vector256.Create(FloatBits.HalfScale);
        var special = Vector256.GreaterThanOrEqual(bits & Vector256.Create(int.MaxValue), Vector256.Create(FloatBits.HalfInfinity));
        return (scaled.AsInt32() | (special & Vector256.Create(FloatBits.Infinity))).AsSingle();
    }
}
