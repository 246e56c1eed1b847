using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Distributed.Engine.Kernels;

/// <summary>Sixteen lanes in one AVX-512 register.</summary>
internal readonly unsafe struct Lanes512 : ILanes<Lanes512>
{
    private readonly Vector512<float> _value;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private Lanes512(Vector512<float> value) => _value = value;

    public static bool IsSupported => Vector512.IsHardwareAccelerated && Avx512BW.IsSupported;

    public static bool HasLargeRegisterFile => true;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 Create(float value) => new(Vector512.Create(value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 Load(float* source) => new(Vector512.Load(source));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(Lanes512 value, float* destination) => value._value.Store(destination);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void LoadBFloat16(byte* source, out Lanes512 even, out Lanes512 odd)
    {
        var pairs = Vector512.Load((uint*)source);
        even = new((pairs << 16).AsSingle());
        odd = new((pairs & Vector512.Create(FloatBits.BFloat16Mask)).AsSingle());
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void LoadFloat16(byte* source, out Lanes512 even, out Lanes512 odd)
    {
        var pairs = Vector512.Load((int*)source);
        even = new(Widen(pairs << 16));
        odd = new(Widen(pairs));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 WidenBFloat16(ushort* source)
        => new((Avx512F.ConvertToVector512UInt32(Vector256.Load(source)) << 16).AsSingle());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 WidenInt8(sbyte* source)
        => new(Vector512.ConvertToSingle(Avx512F.ConvertToVector512Int32(Vector128.Load(source))));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 operator +(Lanes512 left, Lanes512 right) => new(left._value + right._value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 operator -(Lanes512 left, Lanes512 right) => new(left._value - right._value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 operator *(Lanes512 left, Lanes512 right) => new(left._value * right._value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 operator /(Lanes512 left, Lanes512 right) => new(left._value / right._value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 FusedMultiplyAdd(Lanes512 left, Lanes512 right, Lanes512 addend)
        => new(Vector512.FusedMultiplyAdd(left._value, right._value, addend._value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 Greater(Lanes512 candidate, Lanes512 current)
        => new(Vector512.ConditionalSelect(
            Vector512.GreaterThan(candidate._value, current._value), candidate._value, current._value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 Lesser(Lanes512 candidate, Lanes512 current)
        => new(Vector512.ConditionalSelect(
            Vector512.LessThan(candidate._value, current._value), candidate._value, current._value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 PowerOfTwo(Lanes512 exponent)
        => new(((exponent._value + Vector512.Create(FloatBits.ExponentMagic)).AsInt32() << 23).AsSingle());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 Fold8(Lanes512 left, Lanes512 right)
        => new(Avx512F.Shuffle4x128(left._value, right._value, 0b01_00_01_00)
            + Avx512F.Shuffle4x128(left._value, right._value, 0b11_10_11_10));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 Fold4(Lanes512 left, Lanes512 right)
        => new(Avx512F.Shuffle4x128(left._value, right._value, 0b10_00_10_00)
            + Avx512F.Shuffle4x128(left._value, right._value, 0b11_01_11_01));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 Fold2(Lanes512 left, Lanes512 right)
        => new(Avx512F.Shuffle(left._value, right._value, 0b01_00_01_00)
            + Avx512F.Shuffle(left._value, right._value, 0b11_10_11_10));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes512 Fold1(Lanes512 left, Lanes512 right)
        => new(Avx512F.Shuffle(left._value, right._value, 0b10_00_10_00)
            + Avx512F.Shuffle(left._value, right._value, 0b11_01_11_01));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreFirsts(Lanes512 value, float* destination)
        => Avx512F.PermuteVar16x32(value._value, Vector512.Create(0, 4, 8, 12, 0, 4, 8, 12, 0, 4, 8, 12, 0, 4, 8, 12))
            .GetLower().GetLower().Store(destination);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreQuarters(Lanes512 value, float* destination, nint stride)
    {
        var low = value._value.GetLower();
        var high = value._value.GetUpper();
        low.GetLower().Store(destination);
        low.GetUpper().Store(destination + stride);
        high.GetLower().Store(destination + (2 * stride));
        high.GetUpper().Store(destination + (3 * stride));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float First(Lanes512 value) => value._value.ToScalar();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Prefetch(byte* address) => Sse.Prefetch1(address);

    // The half in the upper 16 bits of each word; see FloatBits.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<float> Widen(Vector512<int> words)
    {
        var bits = (words >> 3) & Vector512.Create(FloatBits.HalfMask);
        var scaled = bits.AsSingle() * Vector512.Create(FloatBits.HalfScale);
        var special = Vector512.GreaterThanOrEqual(bits & Vector512.Create(int.MaxValue), Vector512.Create(FloatBits.HalfInfinity));
        return (scaled.AsInt32() | (special & Vector512.Create(FloatBits.Infinity))).AsSingle();
    }
}
