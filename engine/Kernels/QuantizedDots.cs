using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.Arm;
using System.Runtime.Intrinsics.X86;

namespace Distributed.Engine.Kernels;

/// <summary>x86 with AVX-VNNI: unsigned by signed bytes, four products into a lane. Weights are made unsigned by an offset.</summary>
internal readonly unsafe struct VnniDot : IQuantizedDot
{
    public static bool IsSupported => AvxVnni.IsSupported;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> Int8(byte* weights, sbyte* x, int minusSum)
    {
        var flip = Vector256.Create((byte)0x80); // q + 128
        var dots = Vector256.Create(128 * minusSum);
        for (var i = 0; i < 8; i++)
        {
            dots = AvxVnni.MultiplyWideningAndAdd(dots, Vector256.Load(weights + (32 * i)) ^ flip, Avx2Dot.Four(x + (4 * i)));
        }

        return dots;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> Int4(byte* weights, sbyte* x, int minusSum)
    {
        var low = Vector256.Create((byte)0x0F);
        var dots = Vector256.Create(8 * minusSum);
        for (var i = 0; i < 4; i++)
        {
            var pairs = Vector256.Load(weights + (32 * i));
            dots = AvxVnni.MultiplyWideningAndAdd(dots, pairs & low, Avx2Dot.Four(x + (4 * i)));
            dots = AvxVnni.MultiplyWideningAndAdd(dots, (pairs.AsUInt16() >> 4).AsByte() & low, Avx2Dot.Four(x + 16 + (4 * i)));
        }

        return dots;
    }
}

/// <summary>x86 with AVX2: unsigned by signed bytes, two products into 16 bits, which hold them as q and x stay within 127.</summary>
internal readonly unsafe struct Avx2Dot : IQuantizedDot
{
    public static bool IsSupported => Avx2.IsSupported;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> Int8(byte* weights, sbyte* x, int minusSum)
    {
        // Written out, as the compiler does not unroll eight turns: 5 % less time out of the first-level cache.
        var q = (sbyte*)weights;
        return ((Products(q, x) + Products(q + 32, x + 4)) + (Products(q + 64, x + 8) + Products(q + 96, x + 12)))
            + ((Products(q + 128, x + 16) + Products(q + 160, x + 20)) + (Products(q + 192, x + 24) + Products(q + 224, x + 28)));
    }

    // |q| times x with q's sign.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<int> Products(sbyte* weights, sbyte* x)
    {
        var q = Vector256.Load(weights);
        return Avx2.MultiplyAddAdjacent(Avx2.MultiplyAddAdjacent(Avx2.Abs(q), Avx2.Sign(Four(x), q)), Vector256<short>.One);
    }

    // Eight times 2 x 15 x 127 is less than 2^15: the 16-bit sums of a whole block need widening only once.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> Int4(byte* weights, sbyte* x, int minusSum)
    {
        var low = Vector256.Create((byte)0x0F);
        var pairs = Vector256<short>.Zero;
        for (var i = 0; i < 4; i++)
        {
            var q = Vector256.Load(weights + (32 * i));
            pairs += Avx2.MultiplyAddAdjacent(q & low, Four(x + (4 * i)));
            pairs += Avx2.MultiplyAddAdjacent((q.AsUInt16() >> 4).AsByte() & low, Four(x + 16 + (4 * i)));
        }

        return Avx2.MultiplyAddAdjacent(pairs, Vector256<short>.One) + Vector256.Create(8 * minusSum);
    }

    /// <summary>
    /// Four activations, for each of the eight rows. As a float32, which the compiler lets come from memory into all lanes at once; a whole number takes a
    /// detour.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<sbyte> Four(sbyte* x) => Vector256.Create(Unsafe.ReadUnaligned<float>(x)).AsSByte();
}

/// <summary>
/// x86 with AVX-512 and no VNNI that .NET can name, as Zen 4 and Ice Lake, where <see cref="Emission.QuantizedCode"/> does not compute: as AVX2 for one token, and several tokens at once in 512
/// bits.
/// </summary>
internal readonly unsafe struct Avx512Dot : IQuantizedDot
{
    public static bool IsSupported => Avx512BW.IsSupported;

    public static bool TakesTokens => true;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> Int8(byte* weights, sbyte* x, int minusSum) => Avx2Dot.Int8(weights, x, minusSum);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> Int4(byte* weights, sbyte* x, int minusSum) => Avx2Dot.Int4(weights, x, minusSum);

    /// <summary>
    /// Two of a block's four vectors of 4-bit weights, whose rows come together: row r has eight neighbouring elements in the low halves of its bytes and eight in
    /// the high ones.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Halves(byte* weights, out Vector512<byte> low, out Vector512<byte> high)
    {
        var rows = Avx512F.PermuteVar16x32(Vector512.Load((int*)weights), Vector512.Create(0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15)).AsUInt16();
        var mask = Vector512.Create((byte)0x0F);
        low = rows.AsByte() & mask;
        high = (rows >> 4).AsByte() & mask;
    }

    /// <summary>Eight bytes, for each of the eight rows; see <see cref="Avx2Dot.Four"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<sbyte> Eight(void* x) => Vector512.Create(Unsafe.ReadUnaligned<double>(x)).AsSByte();
}

/// <summary>Arm64 with dot products (every processor since Armv8.4, Apple's M1 too): signed bytes, four products into a lane.</summary>
internal readonly unsafe struct ArmDot : IQuantizedDot
{
    public static bool IsSupported => Dp.IsSupported;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> Int8(byte* weights, sbyte* x, int minusSum)
    {
        var lower = Vector128<int>.Zero;
        var upper = Vector128<int>.Zero;
        for (var i = 0; i < 8; i++)
        {
            var q = (sbyte*)weights + (32 * i);
            var four = Four(x + (4 * i));
            lower = Dp.DotProduct(lower, Vector128.Load(q), four);
            upper = Dp.DotProduct(upper, Vector128.Load(q + 16), four);
        }

        return Vector256.Create(lower, upper);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> Int4(byte* weights, sbyte* x, int minusSum)
    {
        var low = Vector128.Create((byte)0x0F);
        var lower = Vector128.Create(8 * minusSum);
        var upper = lower;
        for (var i = 0; i < 4; i++)
        {
            var q = Vector128.Load(weights + (32 * i));
            var p = Vector128.Load(weights + (32 * i) + 16);
            var four = Four(x + (4 * i));
            lower = Dp.DotProduct(lower, (q & low).AsSByte(), four);
            upper = Dp.DotProduct(upper, (p & low).AsSByte(), four);
            four = Four(x + 16 + (4 * i));
            lower = Dp.DotProduct(lower, (q >> 4).AsSByte(), four);
            upper = Dp.DotProduct(upper, (p >> 4).AsSByte(), four);
        }

        return Vector256.Create(lower, upper);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<sbyte> Four(sbyte* x) => Vector128.Create(Unsafe.ReadUnaligned<int>(x)).AsSByte();
}

/// <summary>Any machine.</summary>
internal readonly unsafe struct ScalarDot : IQuantizedDot
{
    public static bool IsSupported => true;

    public static Vector256<int> Int8(byte* weights, sbyte* x, int minusSum)
    {
        var dots = stackalloc int[QuantizedLayout.TileRowCount];
        for (var row = 0; row < QuantizedLayout.TileRowCount; row++)
        {
            dots[row] = 0;
            for (var k = 0; k < QuantizedLayout.BlockLength; k++)
            {
                dots[row] += (sbyte)weights[(32 * (k / 4)) + (4 * row) + (k % 4)] * x[k];
            }
        }

        return Vector256.Load(dots);
    }

    public static Vector256<int> Int4(byte* weights, sbyte* x, int minusSum)
    {
        var dots = stackalloc int[QuantizedLayout.TileRowCount];
        for (var row = 0; row < QuantizedLayout.TileRowCount; row++)
        {
            dots[row] = 0;
            for (var k = 0; k < QuantizedLayout.BlockLength / 2; k++)
            {
                var pair = weights[(32 * (k / 4)) + (4 * row) + (k % 4)];
                dots[row] += (((pair & 15) - 8) * x[k]) + (((pair >> 4) - 8) * x[16 + k]);
            }
        }

        return Vector256.Load(dots);
    }
}
