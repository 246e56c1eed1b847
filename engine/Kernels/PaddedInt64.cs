using System.Runtime.InteropServices;

namespace Distributed.Engine.Kernels;

/// <summary>A counter with its cache line, and the neighbour that the prefetcher pairs with it, to itself.</summary>
[StructLayout(LayoutKind.Explicit, Size = 256)]
internal struct PaddedInt64
{
    [FieldOffset(128)]
    public long Value;
}
