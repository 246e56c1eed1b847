using System.Runtime.InteropServices;

namespace Distributed.Engine.Kernels;

/// <summary>Zero-filled float32 outside the garbage collector's heap, aligned to a cache line.</summary>
/// <remarks>Large buffers come from the system as untouched zero pages: what is never used is never resident.</remarks>
internal sealed unsafe class NativeBuffer : IDisposable
{
    private const int Alignment = 64;
    private void* _allocation;

    /// <param name="elementCount">Floats; 0 is allowed.</param>
    public NativeBuffer(long elementCount)
    {
        ByteCount = checked(elementCount * sizeof(float));
        _allocation = NativeMemory.AllocZeroed(checked((nuint)ByteCount + Alignment));
        Data = (float*)(((nint)_allocation + Alignment - 1) & -Alignment);
    }

    /// <summary>The first element.</summary>
    public float* Data { get; private set; }

    /// <summary>Bytes of the elements.</summary>
    public long ByteCount { get; }

    /// <summary>Frees the memory; nobody may use it any more.</summary>
    public void Dispose()
    {
        NativeMemory.Free(_allocation);
        _allocation = null;
        Data = null;
    }
}
