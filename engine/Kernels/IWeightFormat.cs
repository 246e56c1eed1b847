using System.Runtime.CompilerServices;

namespace Distributed.Engine.Kernels;

/// <summary>
/// How 64 bytes of a weight row, one block, become lanes. A block of 16-bit weights holds 32 elements: lane j meets the elements
/// 2j and 2j + 1 one after the other, which are the low and the high half of the j-th 32-bit word, so that widening costs a shift
/// and a mask and no permutation. A block of float32 holds 16.
/// </summary>
internal unsafe interface IWeightFormat
{
    /// <summary>Bytes of an element.</summary>
    static abstract int ElementSize { get; }

    /// <summary>Whether a block fills two sets of lanes, even and odd elements, instead of one.</summary>
    static abstract bool HasPairs { get; }

    /// <summary>Widens the block at <paramref name="block"/>; <paramref name="odd"/> is zero where the format has no pairs.</summary>
    static abstract void Load<TLanes>(byte* block, out TLanes even, out TLanes odd)
        where TLanes : unmanaged, ILanes<TLanes>;
}

/// <summary>IEEE 754 binary32.</summary>
internal readonly unsafe struct Float32Format : IWeightFormat
{
    public static int ElementSize => 4;

    public static bool HasPairs => false;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Load<TLanes>(byte* block, out TLanes even, out TLanes odd)
        where TLanes : unmanaged, ILanes<TLanes>
    {
        even = TLanes.Load((float*)block);
        odd = default;
    }
}

/// <summary>The upper half of a binary32.</summary>
internal readonly unsafe struct BFloat16Format : IWeightFormat
{
    public static int ElementSize => 2;

    public static bool HasPairs => true;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Load<TLanes>(byte* block, out TLanes even, out TLanes odd)
        where TLanes : unmanaged, ILanes<TLanes>
        => TLanes.LoadBFloat16(block, out even, out odd);
}

/// <summary>IEEE 754 binary16.</summary>
internal readonly unsafe struct Float16Format : IWeightFormat
{
    public static int ElementSize => 2;

    public static bool HasPairs => true;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Load<TLanes>(byte* block, out TLanes even, out TLanes odd)
        where TLanes : unmanaged, ILanes<TLanes>
        => TLanes.LoadFloat16(block, out even, out odd);
}
