using System.Buffers.Binary;
using System.Runtime.CompilerServices;

namespace Distributed.Engine.Kernels;

/// <summary>Sixteen lanes in an array: for a machine whose vector unit cannot multiply and add with one rounding.</summary>
[InlineArray(16)]
internal unsafe struct ScalarLanes : ILanes<ScalarLanes>
{
    private const int Count = 16;

    private float _lane0;

    public static bool IsSupported => true;

    public static bool HasLargeRegisterFile => false;

    public static ScalarLanes Create(float value)
    {
        Unsafe.SkipInit(out ScalarLanes result);
        ((Span<float>)result).Fill(value);
        return result;
    }

    public static ScalarLanes Load(float* source) => Unsafe.ReadUnaligned<ScalarLanes>(source);

    public static void Store(ScalarLanes value, float* destination) => Unsafe.WriteUnaligned(destination, value);

    public static void LoadBFloat16(byte* source, out ScalarLanes even, out ScalarLanes odd)
    {
        Unsafe.SkipInit(out even);
        Unsafe.SkipInit(out odd);
        for (var lane = 0; lane < Count; lane++)
        {
            var pair = BinaryPrimitives.ReadUInt32LittleEndian(new ReadOnlySpan<byte>(source + (4 * lane), 4));
            even[lane] = BitConverter.UInt32BitsToSingle(pair << 16);
            odd[lane] = BitConverter.UInt32BitsToSingle(pair & FloatBits.BFloat16Mask);
        }
    }

    public static void LoadFloat16(byte* source, out ScalarLanes even, out ScalarLanes odd)
    {
        Unsafe.SkipInit(out even);
        Unsafe.SkipInit(out odd);
        for (var lane = 0; lane < Count; lane++)
        {
            even[lane] = (float)BinaryPrimitives.ReadHalfLittleEndian(new ReadOnlySpan<byte>(source + (4 * lane), 2));
            odd[lane] = (float)BinaryPrimitives.ReadHalfLittleEndian(new ReadOnlySpan<byte>(source + (4 * lane) + 2, 2));
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ScalarLanes WidenBFloat16(ushort* source)
    {
        Unsafe.SkipInit(out ScalarLanes lanes);
        for (var lane = 0; lane < Count; lane++)
        {
            lanes[lane] = BitConverter.UInt32BitsToSingle((uint)source[lane] << 16);
        }

        return lanes;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ScalarLanes WidenInt8(sbyte* source)
    {
        Unsafe.SkipInit(out ScalarLanes lanes);
        for (var lane = 0; lane < Count; lane++)
        {
            lanes[lane] = source[lane];
        }

        return lanes;
    }

    public static ScalarLanes operator +(ScalarLanes left, ScalarLanes right)
    {
        for (var lane = 0; lane < Count; lane++)
        {
            left[lane] += right[lane];
        }

        return left;
    }

    public static ScalarLanes operator -(ScalarLanes left, ScalarLanes right)
    {
        for (var lane = 0; lane < Count; lane++)
        {
            left[lane] -= right[lane];
        }

        return left;
    }

    public static ScalarLanes operator *(ScalarLanes left, ScalarLanes right)
    {
        for (var lane = 0; lane < Count; lane++)
        {
            left[lane] *= right[lane];
        }

        return left;
    }

    public static ScalarLanes operator /(ScalarLanes left, ScalarLanes right)
    {
        for (var lane = 0; lane < Count; lane++)
        {
            left[lane] /= right[lane];
        }

        return left;
    }

    public static ScalarLanes FusedMultiplyAdd(ScalarLanes left, ScalarLanes right, ScalarLanes addend)
    {
        for (var lane = 0; lane < Count; lane++)
        {
            addend[lane] = MathF.FusedMultiplyAdd(left[lane], right[lane], addend[lane]);
        }

        return addend;
    }

    public static ScalarLanes Greater(ScalarLanes candidate, ScalarLanes current)
    {
        for (var lane = 0; lane < Count; lane++)
        {
            current[lane] = candidate[lane] > current[lane] ? candidate[lane] : current[lane];
        }

        return current;
    }

    public static ScalarLanes Lesser(ScalarLanes candidate, ScalarLanes current)
    {
        for (var lane = 0; lane < Count; lane++)
        {
            current[lane] = candidate[lane] < current[lane] ? candidate[lane] : current[lane];
        }

        return current;
    }

    public static ScalarLanes PowerOfTwo(ScalarLanes exponent)
    {
        for (var lane = 0; lane < Count; lane++)
        {
            exponent[lane] = BitConverter.Int32BitsToSingle(BitConverter.SingleToInt32Bits(exponent[lane] + FloatBits.ExponentMagic) << 23);
        }

        return exponent;
    }

    public static ScalarLanes Fold8(ScalarLanes left, ScalarLanes right)
    {
        Unsafe.SkipInit(out ScalarLanes result);
        for (var lane = 0; lane < 8; lane++)
        {
            result[lane] = left[lane] + left[lane + 8];
            result[lane + 8] = right[lane] + right[lane + 8];
        }

        return result;
    }

    public static ScalarLanes Fold4(ScalarLanes left, ScalarLanes right)
    {
        Unsafe.SkipInit(out ScalarLanes result);
        for (var lane = 0; lane < 4; lane++)
        {
            result[lane] = left[lane] + left[lane + 4];
            result[lane + 4] = left[lane + 8] + left[lane + 12];
            result[lane + 8] = right[lane] + right[lane + 4];
            result[lane + 12] = right[lane + 8] + right[lane + 12];
        }

        return result;
    }

    public static ScalarLanes Fold2(ScalarLanes left, ScalarLanes right)
    {
        Unsafe.SkipInit(out ScalarLanes result);
        for (var lane = 0; lane < Count; lane += 4)
        {
            result[lane] = left[lane] + left[lane + 2];
            result[lane + 1] = left[lane + 1] + left[lane + 3];
            result[lane + 2] = right[lane] + right[lane + 2];
            result[lane + 3] = right[lane + 1] + right[lane + 3];
        }

        return result;
    }

    public static ScalarLanes Fold1(ScalarLanes left, ScalarLanes right)
    {
        Unsafe.SkipInit(out ScalarLanes result);
        for (var lane = 0; lane < Count; lane += 4)
        {
            result[lane] = left[lane] + left[lane + 1];
            result[lane + 1] = left[lane + 2] + left[lane + 3];
            result[lane + 2] = right[lane] + right[lane + 1];
            result[lane + 3] = right[lane + 2] + right[lane + 3];
        }

        return result;
    }

    public static void StoreFirsts(ScalarLanes value, float* destination)
    {
        for (var quarter = 0; quarter < 4; quarter++)
        {
            destination[quarter] = value[4 * quarter];
        }
    }

    public static void StoreQuarters(ScalarLanes value, float* destination, nint stride)
    {
        for (var lane = 0; lane < Count; lane++)
        {
            destination[(lane / 4 * stride) + (lane % 4)] = value[lane];
        }
    }

    public static float First(ScalarLanes value) => value[0];

    public static void Prefetch(byte* address)
    {
    }
}
