using System.Diagnostics;
using System.Numerics;
using System.Runtime.CompilerServices;
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
        switch (Operation)
        {
            case ReduceOperation.Sum: Combine<T, Sum<T>>(left, right, result); break;
            case ReduceOperation.Max: Combine<T, Greater<T>>(left, right, result); break;
            default: Combine<T, Lesser<T>>(left, right, result); break;
        }
    }

    private void CombineBFloat16(ReadOnlySpan<byte> left, ReadOnlySpan<byte> right, Span<byte> result)
    {
        switch (Operation)
        {
            case ReduceOperation.Sum: CombineBFloat16<Sum<float>>(left, right, result); break;
            case ReduceOperation.Max: CombineBFloat16<Greater<float>>(left, right, result); break;
            default: CombineBFloat16<Lesser<float>>(left, right, result); break;
        }
    }

    private void CombineFloat16(ReadOnlySpan<byte> left, ReadOnlySpan<byte> right, Span<byte> result)
    {
        switch (Operation)
        {
            case ReduceOperation.Sum: CombineFloat16<Sum<float>>(left, right, result); break;
            case ReduceOperation.Max: CombineFloat16<Greater<float>>(left, right, result); break;
            default: CombineFloat16<Lesser<float>>(left, right, result); break;
        }
    }

    // Optimized from the first call on: left to the tiers, the loop would be slow for the first ten thousand.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Combine<T, TOperator>(ReadOnlySpan<byte> left, ReadOnlySpan<byte> right, Span<byte> result)
        where T : unmanaged, INumber<T>
        where TOperator : struct, IElementOperator<T>
    {
        var l = MemoryMarshal.Cast<byte, T>(left);
        var r = MemoryMarshal.Cast<byte, T>(right);
        var s = MemoryMarshal.Cast<byte, T>(result);
        ref var l0 = ref MemoryMarshal.GetReference(l);
        ref var r0 = ref MemoryMarshal.GetReference(r);
        ref var s0 = ref MemoryMarshal.GetReference(s);
        var i = 0;
        for (; i <= s.Length - Vector<T>.Count; i += Vector<T>.Count)
        {
            TOperator.Of(Vector.LoadUnsafe(ref l0, (nuint)i), Vector.LoadUnsafe(ref r0, (nuint)i)).StoreUnsafe(ref s0, (nuint)i);
        }

        for (; i < s.Length; i++)
        {
            s[i] = TOperator.Of(l[i], r[i]);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void CombineFloat16<TOperator>(ReadOnlySpan<byte> left, ReadOnlySpan<byte> right, Span<byte> result)
        where TOperator : struct, IElementOperator<float>
    {
        var l = MemoryMarshal.Cast<byte, Half>(left);
        var r = MemoryMarshal.Cast<byte, Half>(right);
        var s = MemoryMarshal.Cast<byte, Half>(result);
        for (var i = 0; i < s.Length; i++)
        {
            s[i] = (Half)TOperator.Of((float)l[i], (float)r[i]);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void CombineBFloat16<TOperator>(ReadOnlySpan<byte> left, ReadOnlySpan<byte> right, Span<byte> result)
        where TOperator : struct, IElementOperator<float>
    {
        var l = MemoryMarshal.Cast<byte, ushort>(left);
        var r = MemoryMarshal.Cast<byte, ushort>(right);
        var s = MemoryMarshal.Cast<byte, ushort>(result);
        ref var l0 = ref MemoryMarshal.GetReference(l);
        ref var r0 = ref MemoryMarshal.GetReference(r);
        ref var s0 = ref MemoryMarshal.GetReference(s);
        var i = 0;
        for (; i <= s.Length - Vector<ushort>.Count; i += Vector<ushort>.Count)
        {
            Vector.Widen(Vector.LoadUnsafe(ref l0, (nuint)i), out var leftLow, out var leftHigh);
            Vector.Widen(Vector.LoadUnsafe(ref r0, (nuint)i), out var rightLow, out var rightHigh);
            Vector.Narrow(Rounded<TOperator>(leftLow, rightLow), Rounded<TOperator>(leftHigh, rightHigh)).StoreUnsafe(ref s0, (nuint)i);
        }

        for (; i < s.Length; i++)
        {
            s[i] = BFloat16.FromSingle(TOperator.Of(new BFloat16(l[i]).ToSingle(), new BFloat16(r[i]).ToSingle())).Bits;
        }
    }

    // BFloat16.FromSingle on every lane, each 16 bits wide in 32.
    private static Vector<uint> Rounded<TOperator>(Vector<uint> left, Vector<uint> right)
        where TOperator : struct, IElementOperator<float>
    {
        var value = TOperator.Of(Vector.AsVectorSingle(left << 16), Vector.AsVectorSingle(right << 16));
        var bits = Vector.AsVectorUInt32(value);
        var rounded = (bits + new Vector<uint>(0x7FFF) + ((bits >>> 16) & Vector<uint>.One)) >>> 16;
        var isNumber = Vector.AsVectorUInt32(Vector.Equals(value, value));
        return Vector.ConditionalSelect(isNumber, rounded, (bits >>> 16) | new Vector<uint>(0x40));
    }
}
