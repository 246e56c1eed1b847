using Distributed.Collectives.Hosting;

namespace Distributed.Collectives.Launching;

/// <summary>The user's stdin as it arrives over the lifeline: one thread writes, one reads; what is in flight is bounded.</summary>
internal sealed class UserInputStream : ForwardStream
{
    private readonly object _state = new(); // an object, not a Lock: reader and writer wait on it for each other
    private readonly byte[] _ring; // [byte], circular
    private int _start;
    private int _count;
    private bool _ended;

    public UserInputStream(int capacity = 64 * 1024) => _ring = new byte[capacity];

    public override bool CanRead => true;

    public override bool CanWrite => false;

    /// <summary>
    /// Takes as much of <paramref name="bytes"/> as there is room for, waiting up to <paramref name="patience"/> for the first.
    /// </summary>
    /// <returns>How many were taken: 0 when the reader made no room in time.</returns>
    public int Append(ReadOnlySpan<byte> bytes, TimeSpan patience)
    {
        lock (_state)
        {
            if (_count == _ring.Length)
            {
                Monitor.Wait(_state, patience);
            }

            var taken = Math.Min(bytes.Length, _ring.Length - _count);
            var end = (_start + _count) % _ring.Length;
            var first = Math.Min(taken, _ring.Length - end);
            bytes[..first].CopyTo(_ring.AsSpan(end));
            bytes[first..taken].CopyTo(_ring);
            _count += taken;
            Monitor.PulseAll(_state);
            return taken;
        }
    }

    /// <summary>The user's stdin has ended: a read that finds nothing left returns 0 from now on.</summary>
    public void End()
    {
        lock (_state)
        {
            _ended = true;
            Monitor.PulseAll(_state);
        }
    }

    public override int Read(Span<byte> buffer)
    {
        if (buffer.IsEmpty)
        {
            return 0;
        }

        lock (_state)
        {
            while (_count == 0 && !_ended)
            {
                Monitor.Wait(_state);
            }

            var taken = Math.Min(buffer.Length, _count);
            var first = Math.Min(taken, _ring.Length - _start);
            _ring.AsSpan(_start, first).CopyTo(buffer);
            _ring.AsSpan(0, taken - first).CopyTo(buffer[first..]);
            _start = (_start + taken) % _ring.Length;
            _count -= taken;
            Monitor.PulseAll(_state);
            return taken;
        }
    }

    public override int Read(byte[] buffer, int offset, int count)
    {
        ValidateBufferArguments(buffer, offset, count);
        return Read(buffer.AsSpan(offset, count));
    }

    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();
}
