using System.Runtime.CompilerServices;

namespace Distributed.Engine.Kernels;

/// <summary>
/// What all implementations of the lanes share: the end of a vector whose length is no multiple of 16, and the tree over the lanes.
/// </summary>
internal static unsafe class LaneOperations
{
    /// <summary>The number of lanes.</summary>
    public const int Count = 16;

    /// <summary>Reads <paramref name="count"/> floats, fewer than 16, and fills the other lanes.</summary>
    public static TLanes Load<TLanes>(float* source, int count, float fill)
        where TLanes : unmanaged, ILanes<TLanes>
    {
        var lanes = stackalloc float[Count];
        new Span<float>(lanes, Count).Fill(fill);
        Unsafe.CopyBlockUnaligned(lanes, source, (uint)count * sizeof(float));
        return TLanes.Load(lanes);
    }

    /// <summary>Writes the first <paramref name="count"/> lanes.</summary>
    public static void Store<TLanes>(TLanes value, float* destination, int count)
        where TLanes : unmanaged, ILanes<TLanes>
    {
        var lanes = stackalloc float[Count];
        TLanes.Store(value, lanes);
        Unsafe.CopyBlockUnaligned(destination, lanes, (uint)count * sizeof(float));
    }

    /// <summary>Asks for the cache lines of some bytes; see <see cref="ILanes{TSelf}.Prefetch"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Prefetch<TLanes>(byte* data, nint byteCount)
        where TLanes : unmanaged, ILanes<TLanes>
    {
        const int LineByteCount = 64;
        for (nint offset = 0; offset < byteCount; offset += LineByteCount)
        {
            TLanes.Prefetch(data + offset);
        }
    }

    /// <summary>The lane tree: (lane j + lane j+8), then +4, +2, +1.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Sum<TLanes>(TLanes value)
        where TLanes : unmanaged, ILanes<TLanes>
    {
        value = TLanes.Fold8(value, value);
        value = TLanes.Fold4(value, value);
        value = TLanes.Fold2(value, value);
        return TLanes.First(TLanes.Fold1(value, value));
    }

    /// <summary>The greatest lane; of lanes that compare equal, such as zeros of both signs, the first.</summary>
    public static float Max<TLanes>(TLanes value)
        where TLanes : unmanaged, ILanes<TLanes>
    {
        var lanes = stackalloc float[Count];
        TLanes.Store(value, lanes);
        var greatest = lanes[0];
        for (var lane = 1; lane < Count; lane++)
        {
            greatest = lanes[lane] > greatest ? lanes[lane] : greatest;
        }

        return greatest;
    }
}
