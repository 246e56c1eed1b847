using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Distributed.Collectives.Algorithms;

/// <summary>
/// The narrow forms in which float32 values cross a slow network. What is decoded depends on what was encoded alone, so whoever
/// encodes and decodes again has the values that the receivers get.
/// <para>bf16: the upper half, rounded to the nearest, ties to even: |x' - x| &lt;= 2^-8 |x|. NaN stays NaN.</para>
/// <para>
/// int8: blocks of 64 values, each a float32 scale s = max|x| / 127 and 64 times q = round(x / s), x' = q s: |x' - x| &lt;= max|x| / 254, and a
/// last rounding of x'; values below 1.5e-36 become 0. A block with an infinity or a NaN is NaN throughout.
/// </para>
/// </summary>
internal static class NarrowWire
{
    /// <summary>How many values share a scale; a segment is a multiple of it.</summary>
    public const int BlockLength = 64;

    private const int MaxLevel = 127;

    // The smallest float32 of full precision: a scale below it would be off by more than the bound allows.
    private const float SmallestScale = 1.17549435e-38f;

    /// <summary>The length of a form.</summary>
    /// <param name="byteCount">The length of the float32 values.</param>
    /// <param name="wire">The form.</param>
    public static int ByteCount(int byteCount, WireFormat wire) => wire switch
    {
        WireFormat.BFloat16 => byteCount / 2,
        WireFormat.Int8 => (byteCount / sizeof(float)) + (((byteCount / sizeof(float)) + BlockLength - 1) / BlockLength * sizeof(float)),
        _ => byteCount,
    };

    /// <summary>Encodes values, little endian as the wire is.</summary>
    /// <param name="values">[element], float32</param>
    /// <param name="encoded">[byte], of <see cref="ByteCount"/></param>
    /// <param name="wire">A narrow form.</param>
    public static void Encode(ReadOnlySpan<byte> values, Span<byte> encoded, WireFormat wire)
    {
        var elements = MemoryMarshal.Cast<byte, float>(values);
        if (wire == WireFormat.BFloat16)
        {
            EncodeBFloat16(elements, MemoryMarshal.Cast<byte, ushort>(encoded));
            return;
        }

        for (; elements.Length > 0; elements = elements[Math.Min(BlockLength, elements.Length)..])
        {
            var block = elements[..Math.Min(BlockLength, elements.Length)];
            var greatest = Greatest(block);
            var scale = !float.IsFinite(greatest) ? float.NaN : greatest / MaxLevel is >= SmallestScale and var quotient ? quotient : 0;
            MemoryMarshal.Write(encoded, scale);
            EncodeBlock(block, scale, MemoryMarshal.Cast<byte, sbyte>(encoded.Slice(sizeof(float), block.Length)));
            encoded = encoded[(sizeof(float) + block.Length)..];
        }
    }

    /// <summary>Decodes what <see cref="Encode"/> wrote.</summary>
    public static void Decode(ReadOnlySpan<byte> encoded, Span<byte> values, WireFormat wire)
    {
        var elements = MemoryMarshal.Cast<byte, float>(values);
        if (wire == WireFormat.BFloat16)
        {
            DecodeBFloat16(MemoryMarshal.Cast<byte, ushort>(encoded), elements);
            return;
        }

        for (; elements.Length > 0; elements = elements[Math.Min(BlockLength, elements.Length)..])
        {
            var block = elements[..Math.Min(BlockLength, elements.Length)];
            DecodeBlock(MemoryMarshal.Cast<byte, sbyte>(encoded.Slice(sizeof(float), block.Length)), MemoryMarshal.Read<float>(encoded), block);
            encoded = encoded[(sizeof(float) + block.Length)..];
        }
    }

    // max|x|; NaN where one is.
    private static float Greatest(ReadOnlySpan<float> block)
    {
        var greatest = 0f;
        foreach (var value in block)
        {
            greatest = MathF.Max(greatest, MathF.Abs(value));
        }

        return greatest;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void EncodeBlock(ReadOnlySpan<float> block, float scale, Span<sbyte> levels)
    {
        if (!(scale > 0)) // zeros, or too small for a scale, or NaN, which the scale says
        {
            levels.Clear();
            return;
        }

        var i = 0;
        var scales = new Vector<float>(scale);
        ref var x0 = ref MemoryMarshal.GetReference(block);
        for (; i <= block.Length - Vector<sbyte>.Count; i += Vector<sbyte>.Count)
        {
            Vector.Narrow(
                Vector.Narrow(Level(ref x0, i, scales), Level(ref x0, i + Vector<float>.Count, scales)),
                Vector.Narrow(Level(ref x0, i + (2 * Vector<float>.Count), scales), Level(ref x0, i + (3 * Vector<float>.Count), scales))).CopyTo(levels[i..]);
        }

        for (; i < block.Length; i++)
        {
            levels[i] = (sbyte)MathF.Round(block[i] / scale);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector<int> Level(ref float values, int index, Vector<float> scales)
        => Vector.ConvertToInt32(Vector.Round(Vector.LoadUnsafe(ref values, (nuint)index) / scales));

    private static void DecodeBlock(ReadOnlySpan<sbyte> levels, float scale, Span<float> block)
    {
        for (var i = 0; i < block.Length; i++)
        {
            block[i] = levels[i] * scale;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void EncodeBFloat16(ReadOnlySpan<float> values, Span<ushort> encoded)
    {
        for (var i = 0; i < values.Length; i++)
        {
            encoded[i] = BFloat16.FromSingle(values[i]).Bits;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void DecodeBFloat16(ReadOnlySpan<ushort> encoded, Span<float> values)
    {
        for (var i = 0; i < values.Length; i++)
        {
            values[i] = new BFloat16(encoded[i]).ToSingle();
        }
    }
}
