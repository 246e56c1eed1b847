using System.Diagnostics;
using System.Numerics;
using System.Runtime.InteropServices;

namespace Distributed.Collectives.Algorithms;

/// <summary>What a reduction does with two elements.</summary>
/// <param name="Type">What they are.</param>
/// <param name="Operation">What becomes of them.</param>
internal readonly record struct Reduction(DataType Type, ReduceOperation Operation)
{
    /// <summary>The size of an element.</summary>
    public int ElementByteCount => Type switch
    {
        DataType.Int64 => sizeof(long),
        DataType.Float32 or DataType.Int32 => sizeof(float),
        DataType.BFloat16 or DataType.Float16 => sizeof(ushort),
        _ => sizeof(byte),
    };

    /// <summary>The type that stands for <typeparamref name="T"/>.</summary>
    /// <exception cref="NotSupportedException">There is none.</exception>
    public static DataType TypeOf<T>()
        => typeof(T) == typeof(float) ? DataType.Float32
        : typeof(T) == typeof(BFloat16) ? DataType.BFloat16
        : typeof(T) == typeof(Half) ? DataType.Float16
        : typeof(T) == typeof(int) ? DataType.Int32
        : typeof(T) == typeof(long) ? DataType.Int64
        : typeof(T) == typeof(byte) ? DataType.Byte
        : throw new NotSupportedException($"{typeof(T).Name} cannot be reduced; the elements of a reduction are float, BFloat16, Half, int, long or byte.");

    /// <summary>result[i] = operation(left[i], right[i])</summary>
    /// <param name="left">[element]</param>
    /// <param name="right">[element]</param>
    /// <param name="result">[element]; may be <paramref name="left"/> or <paramref name="right"/>, but not overlap either otherwise.</param>
    public void Combine(ReadOnlySpan<byte> left, ReadOnlySpan<byte> right, Span<byte> result)
    {
        Debug.Assert(left.Length == result.Length && right.Length == result.Length, "The lengths differ.");
        switch (Type)
        {
            case DataType.Float32: Combine<float>(left, right, result); break;
            case DataType.BFloat16: CombineBFloat16(left, right, result); break;
            case DataType.Float16: CombineFloat16(left, right, result); break;
            case DataType.Int32: Combine<int>(left, right, result); break;
            case DataType.Int64: Combine<long>(left, right, result); break;
            default: Combine<byte>(left, right, result); break;
        }
    }

    private void Combine<T>(ReadOnlySpan<byte> left, ReadOnlySpan<byte> right, Span<byte> result)
        where T : unmanaged, INumber<T>
    {
        var l = MemoryMarshal.Cast<byte, T>(left);
        var r = MemoryMarshal.Cast<byte, T>(right);
        var s = MemoryMarshal.Cast<byte, T>(result);
        var i = 0;
        for (; i <= s.Length - Vector<T>.Count; i += Vector<T>.Count)
        {
            Apply(Load(l, i), Load(r, i)).StoreUnsafe(ref MemoryMarshal.GetReference(s), (nuint)i);
        }

        for (; i < s.Length; i++)
        {
            s[i] = Operation switch
            {
                ReduceOperation.Sum => unchecked(l[i] + r[i]),
                ReduceOperation.Max => T.Max(l[i], r[i]),
                _ => T.Min(l[i], r[i]),
            };
        }
    }

    private static Vector<T> Load<T>(ReadOnlySpan<T> elements, int index) => Vector.LoadUnsafe(ref MemoryMarshal.GetReference(elements), (nuint)index);

    private Vector<T> Apply<T>(Vector<T> left, Vector<T> right) => Operation switch
    {
        ReduceOperation.Sum => left + right,
        ReduceOperation.Max => Vector.Max(left, right),
        _ => Vector.Min(left, right),
    };

    private float Apply(float left, float right) => Operation switch
    {
        ReduceOperation.Sum => left + right,
        ReduceOperation.Max => MathF.Max(left, right),
        _ => MathF.Min(left, right),
    };

    private void CombineFloat16(ReadOnlySpan<byte> left, ReadOnlySpan<byte> right, Span<byte> result)
    {
        var l = MemoryMarshal.Cast<byte, Half>(left);
        var r = MemoryMarshal.Cast<byte, Half>(right);
        var s = MemoryMarshal.Cast<byte, Half>(result);
        for (var i = 0; i < s.Length; i++)
        {
            s[i] = (Half)Apply((float)l[i], (float)r[i]);
        }
    }

    private void CombineBFloat16(ReadOnlySpan<byte> left, ReadOnlySpan<byte> right, Span<byte> result)
    {
        var l = MemoryMarshal.Cast<byte, ushort>(left);
        var r = MemoryMarshal.Cast<byte, ushort>(right);
        var s = MemoryMarshal.Cast<byte, ushort>(result);
        var i = 0;
        for (; i <= s.Length - Vector<ushort>.Count; i += Vector<ushort>.Count)
        {
            Vector.Widen(Load(l, i), out var leftLow, out var leftHigh);
            Vector.Widen(Load(r, i), out var rightLow, out var rightHigh);
            Vector.Narrow(Rounded(leftLow, rightLow), Rounded(leftHigh, rightHigh)).StoreUnsafe(ref MemoryMarshal.GetReference(s), (nuint)i);
        }

        for (; i < s.Length; i++)
        {
            s[i] = BFloat16.FromSingle(Apply(new BFloat16(l[i]).ToSingle(), new BFloat16(r[i]).ToSingle())).Bits;
        }
    }

    // BFloat16.FromSingle on every lane, each 16 bits wide in 32.
    private Vector<uint> Rounded(Vector<uint> left, Vector<uint> right)
    {
        var value = Apply(Vector.AsVectorSingle(left << 16), Vector.AsVectorSingle(right << 16));
        var bits = Vector.AsVectorUInt32(value);
        var rounded = (bits + new Vector<uint>(0x7FFF) + ((bits >>> 16) & Vector<uint>.One)) >>> 16;
        var isNumber = Vector.AsVectorUInt32(Vector.Equals(value, value));
        return Vector.ConditionalSelect(isNumber, rounded, (bits >>> 16) | new Vector<uint>(0x40));
    }
}
