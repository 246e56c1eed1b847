namespace Distributed.Collectives;

/// <summary>What the elements of a reduction are.</summary>
public enum DataType
{
    /// <summary><see cref="float"/></summary>
    Float32,

    /// <summary><see cref="Collectives.BFloat16"/></summary>
    BFloat16,

    /// <summary><see cref="Half"/></summary>
    Float16,

    /// <summary><see cref="int"/>; sums wrap around.</summary>
    Int32,

    /// <summary><see cref="long"/>; sums wrap around.</summary>
    Int64,

    /// <summary><see cref="byte"/>; sums wrap around.</summary>
    Byte,
}

/// <summary>How the values of two ranks become one.</summary>
public enum ReduceOperation
{
    /// <summary>Their sum, in the order of the canonical tree; 16-bit types are added in float32 and rounded at each node of it.</summary>
    Sum,

    /// <summary>The greater; NaN where either is.</summary>
    Max,

    /// <summary>The lesser; NaN where either is.</summary>
    Min,
}

/// <summary>The upper half of a float32: 8 bits of exponent, 7 of fraction.</summary>
/// <param name="Bits">As they lie in memory.</param>
public readonly record struct BFloat16(ushort Bits)
{
    /// <summary>The same number as float32.</summary>
    public float ToSingle() => BitConverter.UInt32BitsToSingle((uint)Bits << 16);

    /// <summary>The nearest number, ties to even; NaN stays NaN.</summary>
    public static BFloat16 FromSingle(float value)
    {
        var bits = BitConverter.SingleToUInt32Bits(value);
        return new BFloat16(float.IsNaN(value)
            ? (ushort)((bits >> 16) | 0x40)
            : (ushort)(unchecked(bits + 0x7FFF + ((bits >> 16) & 1)) >> 16));
    }
}
