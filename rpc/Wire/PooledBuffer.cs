using System.Buffers;

namespace Grpc.Wire;

/// <summary>A growing buffer on arrays of the shared pool. Not for use by two threads at once.</summary>
internal sealed class PooledBuffer : IBufferWriter<byte>
{
    private const int SmallestArray = 256;

    private byte[] _array = [];
    private int _written;

    public ReadOnlyMemory<byte> WrittenMemory => _array.AsMemory(0, _written);

    public ReadOnlySpan<byte> WrittenSpan => _array.AsSpan(0, _written);

    /// <summary>Makes room for so many more bytes.</summary>
    public void Reserve(int byteCount)
    {
        if (_array.Length - _written >= byteCount)
        {
            return;
        }

        var larger = ArrayPool<byte>.Shared.Rent(Math.Max(checked(_written + byteCount), Math.Max(SmallestArray, _written + _written / 2)));
        WrittenSpan.CopyTo(larger);
        Release();
        _array = larger;
    }

    public void Advance(int count)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(count);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(count, _array.Length - _written);
        _written += count;
    }

    public Memory<byte> GetMemory(int sizeHint = 0)
    {
        Reserve(Math.Max(sizeHint, 1));
        return _array.AsMemory(_written);
    }

    public Span<byte> GetSpan(int sizeHint = 0) => GetMemory(sizeHint).Span;

    /// <summary>Gives the array back; the buffer is empty and can be used again.</summary>
    public void Clear()
    {
        Release();
        _array = [];
        _written = 0;
    }

    private void Release()
    {
        if (_array.Length > 0)
        {
            ArrayPool<byte>.Shared.Return(_array);
        }
    }
}
