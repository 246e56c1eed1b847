using System.Runtime.CompilerServices;

namespace Distributed.Engine.Kernels;

/// <summary>A format of keys and values: how they enter the cache and become lanes again.</summary>
internal unsafe interface ICacheFormat
{
    /// <summary>Bytes of an element.</summary>
    static abstract int ElementSize { get; }

    /// <summary>Whether what is loaded has yet to be multiplied by the scale of its position.</summary>
    static abstract bool HasScales { get; }

    /// <summary>Puts a vector into the cache; its padding stays zero.</summary>
    /// <param name="source">[length]</param>
    /// <param name="length">Elements.</param>
    /// <param name="row">Their place.</param>
    /// <param name="scale">The place of the scale, where there is one.</param>
    static abstract void Store(float* source, int length, byte* row, float* scale);

    /// <summary>Reads 16 elements.</summary>
    static abstract TLanes Load<TLanes>(byte* elements)
        where TLanes : unmanaged, ILanes<TLanes>;
}

/// <summary>float32 as computed.</summary>
internal readonly unsafe struct Float32Cache : ICacheFormat
{
    public static int ElementSize => sizeof(float);

    public static bool HasScales => false;

    public static void Store(float* source, int length, byte* row, float* scale)
        => new ReadOnlySpan<float>(source, length).CopyTo(new Span<float>(row, length));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TLanes Load<TLanes>(byte* elements)
        where TLanes : unmanaged, ILanes<TLanes>
        => TLanes.Load((float*)elements);
}

/// <summary>bfloat16, rounded to the nearest, ties to even.</summary>
internal readonly unsafe struct BFloat16Cache : ICacheFormat
{
    public static int ElementSize => sizeof(ushort);

    public static bool HasScales => false;

    public static void Store(float* source, int length, byte* row, float* scale)
    {
        for (var i = 0; i < length; i++)
        {
            ((ushort*)row)[i] = FloatBits.ToBFloat16(source[i]);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TLanes Load<TLanes>(byte* elements)
        where TLanes : unmanaged, ILanes<TLanes>
        => TLanes.WidenBFloat16((ushort*)elements);
}

/// <summary>8 bits: x = scale x q with q from -127 to 127 and scale = max |x| / 127 over the vector.</summary>
internal readonly unsafe struct Int8Cache : ICacheFormat
{
    public static int ElementSize => sizeof(sbyte);

    public static bool HasScales => true;

    public static void Store(float* source, int length, byte* row, float* scale)
    {
        var max = 0f;
        for (var i = 0; i < length; i++)
        {
            max = MathF.Max(max, MathF.Abs(source[i])); // NaN prevails
        }

        // As ActivationQuantizer: of a vector so small that 127 / max would overflow nothing is left; one that is not finite has a scale that is not either.
        var inverse = 127 / max;
        var factor = float.IsFinite(inverse) ? inverse : 0;
        *scale = max / 127;
        for (var i = 0; i < length; i++)
        {
            ((sbyte*)row)[i] = (sbyte)MathF.Round(source[i] * factor);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TLanes Load<TLanes>(byte* elements)
        where TLanes : unmanaged, ILanes<TLanes>
        => TLanes.WidenInt8((sbyte*)elements);
}
