using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.Arm;
using System.Runtime.Intrinsics.X86;

namespace Distributed.Engine.Kernels;

/// <summary>Sixteen lanes in four registers of 128 bits, the quarters of the lane tree: NEON, and x86 with FMA.</summary>
[method: MethodImpl(MethodImplOptions.AggressiveInlining)]
internal readonly unsafe struct Lanes128(
    Vector128<float> quarter0, Vector128<float> quarter1, Vector128<float> quarter2, Vector128<float> quarter3) : ILanes<Lanes128>
{
    private readonly Vector128<float> _quarter0 = quarter0;
    private readonly Vector128<float> _quarter1 = quarter1;
    private readonly Vector128<float> _quarter2 = quarter2;
    private readonly Vector128<float> _quarter3 = quarter3;

    public static bool IsSupported => AdvSimd.Arm64.IsSupported || Fma.IsSupported;

    public static bool HasLargeRegisterFile => false;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 Create(float value)
    {
        var quarter = Vector128.Create(value);
        return new(quarter, quarter, quarter, quarter);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 Load(float* source)
        => new(Vector128.Load(source), Vector128.Load(source + 4), Vector128.Load(source + 8), Vector128.Load(source + 12));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(Lanes128 value, float* destination)
    {
        value._quarter0.Store(destination);
        value._quarter1.Store(destination + 4);
        value._quarter2.Store(destination + 8);
        value._quarter3.Store(destination + 12);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void LoadBFloat16(byte* source, out Lanes128 even, out Lanes128 odd)
    {
        var words = (uint*)source;
        var mask = Vector128.Create(FloatBits.BFloat16Mask);
        var pairs0 = Vector128.Load(words);
        var pairs1 = Vector128.Load(words + 4);
        var pairs2 = Vector128.Load(words + 8);
        var pairs3 = Vector128.Load(words + 12);
        even = new((pairs0 << 16).AsSingle(), (pairs1 << 16).AsSingle(), (pairs2 << 16).AsSingle(), (pairs3 << 16).AsSingle());
        odd = new((pairs0 & mask).AsSingle(), (pairs1 & mask).AsSingle(), (pairs2 & mask).AsSingle(), (pairs3 & mask).AsSingle());
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void LoadFloat16(byte* source, out Lanes128 even, out Lanes128 odd)
    {
        var words = (int*)source;
        var pairs0 = Vector128.Load(words);
        var pairs1 = Vector128.Load(words + 4);
        var pairs2 = Vector128.Load(words + 8);
        var pairs3 = Vector128.Load(words + 12);
        even = new(Widen(pairs0 << 16), Widen(pairs1 << 16), Widen(pairs2 << 16), Widen(pairs3 << 16));
        odd = new(Widen(pairs0), Widen(pairs1), Widen(pairs2), Widen(pairs3));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 WidenBFloat16(ushort* source)
    {
        var (words0, words1) = Vector128.Widen(Vector128.Load(source));
        var (words2, words3) = Vector128.Widen(Vector128.Load(source + 8));
        return new((words0 << 16).AsSingle(), (words1 << 16).AsSingle(), (words2 << 16).AsSingle(), (words3 << 16).AsSingle());
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 WidenInt8(sbyte* source)
    {
        var (low, high) = Vector128.Widen(Vector128.Load(source));
        var (words0, words1) = Vector128.Widen(low);
        var (words2, words3) = Vector128.Widen(high);
        return new(
            Vector128.ConvertToSingle(words0), Vector128.ConvertToSingle(words1), Vector128.ConvertToSingle(words2), Vector128.ConvertToSingle(words3));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 operator +(Lanes128 left, Lanes128 right)
        => new(
            left._quarter0 + right._quarter0,
            left._quarter1 + right._quarter1,
            left._quarter2 + right._quarter2,
            left._quarter3 + right._quarter3);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 operator -(Lanes128 left, Lanes128 right)
        => new(
            left._quarter0 - right._quarter0,
            left._quarter1 - right._quarter1,
            left._quarter2 - right._quarter2,
            left._quarter3 - right._quarter3);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 operator *(Lanes128 left, Lanes128 right)
        => new(
            left._quarter0 * right._quarter0,
            left._quarter1 * right._quarter1,
            left._quarter2 * right._quarter2,
            left._quarter3 * right._quarter3);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 operator /(Lanes128 left, Lanes128 right)
        => new(
            left._quarter0 / right._quarter0,
            left._quarter1 / right._quarter1,
            left._quarter2 / right._quarter2,
            left._quarter3 / right._quarter3);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 FusedMultiplyAdd(Lanes128 left, Lanes128 right, Lanes128 addend)
        => new(
            Vector128.FusedMultiplyAdd(left._quarter0, right._quarter0, addend._quarter0),
            Vector128.FusedMultiplyAdd(left._quarter1, right._quarter1, addend._quarter1),
            Vector128.FusedMultiplyAdd(left._quarter2, right._quarter2, addend._quarter2),
            Vector128.FusedMultiplyAdd(left._quarter3, right._quarter3, addend._quarter3));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 Greater(Lanes128 candidate, Lanes128 current)
        => new(
            Greater(candidate._quarter0, current._quarter0),
            Greater(candidate._quarter1, current._quarter1),
            Greater(candidate._quarter2, current._quarter2),
            Greater(candidate._quarter3, current._quarter3));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 Lesser(Lanes128 candidate, Lanes128 current)
        => new(
            Lesser(candidate._quarter0, current._quarter0),
            Lesser(candidate._quarter1, current._quarter1),
            Lesser(candidate._quarter2, current._quarter2),
            Lesser(candidate._quarter3, current._quarter3));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 PowerOfTwo(Lanes128 exponent)
        => new(
            PowerOfTwo(exponent._quarter0),
            PowerOfTwo(exponent._quarter1),
            PowerOfTwo(exponent._quarter2),
            PowerOfTwo(exponent._quarter3));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 Fold8(Lanes128 left, Lanes128 right)
        => new(
            left._quarter0 + left._quarter2,
            left._quarter1 + left._quarter3,
            right._quarter0 + right._quarter2,
            right._quarter1 + right._quarter3);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 Fold4(Lanes128 left, Lanes128 right)
        => new(
            left._quarter0 + left._quarter1,
            left._quarter2 + left._quarter3,
            right._quarter0 + right._quarter1,
            right._quarter2 + right._quarter3);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 Fold2(Lanes128 left, Lanes128 right)
        => new(
            FoldPairs(left._quarter0, right._quarter0),
            FoldPairs(left._quarter1, right._quarter1),
            FoldPairs(left._quarter2, right._quarter2),
            FoldPairs(left._quarter3, right._quarter3));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Lanes128 Fold1(Lanes128 left, Lanes128 right)
        => new(
            FoldNeighbours(left._quarter0, right._quarter0),
            FoldNeighbours(left._quarter1, right._quarter1),
            FoldNeighbours(left._quarter2, right._quarter2),
            FoldNeighbours(left._quarter3, right._quarter3));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreFirsts(Lanes128 value, float* destination)
    {
        destination[0] = value._quarter0.ToScalar();
        destination[1] = value._quarter1.ToScalar();
        destination[2] = value._quarter2.ToScalar();
        destination[3] = value._quarter3.ToScalar();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreQuarters(Lanes128 value, float* destination, nint stride)
    {
        value._quarter0.Store(destination);
        value._quarter1.Store(destination + stride);
        value._quarter2.Store(destination + (2 * stride));
        value._quarter3.Store(destination + (3 * stride));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float First(Lanes128 value) => value._quarter0.ToScalar();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Prefetch(byte* address)
    {
        // .NET names no prefetch instruction of Arm; its cores follow the streams by themselves.
        if (Sse.IsSupported)
        {
            Sse.Prefetch1(address);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<float> Greater(Vector128<float> candidate, Vector128<float> current)
        => Vector128.ConditionalSelect(Vector128.GreaterThan(candidate, current), candidate, current);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<float> Lesser(Vector128<float> candidate, Vector128<float> current)
        => Vector128.ConditionalSelect(Vector128.LessThan(candidate, current), candidate, current);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<float> PowerOfTwo(Vector128<float> exponent)
        => ((exponent + Vector128.Create(FloatBits.ExponentMagic)).AsInt32() << 23).AsSingle();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<float> FoldPairs(Vector128<float> left, Vector128<float> right)
        => Vector128.Create(left.GetLower(), right.GetLower()) + Vector128.Create(left.GetUpper(), right.GetUpper());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<float> FoldNeighbours(Vector128<float> left, Vector128<float> right)
        => AdvSimd.Arm64.IsSupported
            ? AdvSimd.Arm64.AddPairwise(left, right)
            : Sse.Shuffle(left, right, 0b10_00_10_00) + Sse.Shuffle(left, right, 0b11_01_11_01);

    // The half in the upper 16 bits of each word; see FloatBits.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<float> Widen(Vector128<int> words)
    {
        var bits = (words >> 3) & Vector128.Create(FloatBits.HalfMask);
        var scaled = bits.AsSingle() * Vector128.Create(FloatBits.HalfScale);
        var special = Vector128.GreaterThanOrEqual(bits & Vector128.Create(int.MaxValue), Vector128.Create(FloatBits.HalfInfinity));
        return (scaled.AsInt32() | (special & Vector128.Create(FloatBits.Infinity))).AsSingle();
    }
}
