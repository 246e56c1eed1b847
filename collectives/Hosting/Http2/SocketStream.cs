using System.Net.Sockets;
using System.Runtime.CompilerServices;

namespace Distributed.Collectives.Hosting.Http2;

/// <summary>
/// A connected socket, whose calls of the kernel are made by the thread that reads or writes. What can be done at once is; a write that cannot goes on
/// asynchronously. A read waits on a thread that is there for it and has said so (<see cref="ThisThreadWaits"/>): the kernel then wakes the very thread that goes on,
/// and not one that looks for another to hand it to, which takes twice as long. A read on any other thread, as those of a handshake are, waits on a new one: sockets that
/// the runtime watches wake its watching thread with every piece that comes or goes, for as long as they live.
/// </summary>
internal sealed class SocketStream : ForwardStream
{
    // Before a reader parks it looks this often, and lets others have the core in between: in an exchange the answer is on its way.
    private const int SpinCount = 20;

    // A parked reader looks by itself this often whether it is to stop.
    private static readonly TimeSpan ParkLimit = TimeSpan.FromMilliseconds(250);

    [ThreadStatic]
    private static bool _thisThreadWaits;

    private readonly Socket _socket;
    private readonly ArraySegment<byte>[] _parts = new ArraySegment<byte>[2];

    /// <param name="socket">Connected; disposed with the stream.</param>
    public SocketStream(Socket socket)
    {
        socket.Blocking = false;
        _socket = socket;
    }

    /// <summary>Says that the calling thread has nothing to do but what it reads, so that its reads wait.</summary>
    public static void ThisThreadWaits() => _thisThreadWaits = true;

    /// <inheritdoc/>
    public override bool CanRead => true;

    /// <inheritdoc/>
    public override bool CanWrite => true;

    /// <summary>Says that nothing more will be written.</summary>
    public void EndWriting()
    {
        try
        {
            _socket.Shutdown(SocketShutdown.Send);
        }
        catch (Exception exception) when (exception is SocketException or ObjectDisposedException)
        {
            // The other end is gone.
        }
    }

    /// <inheritdoc/>
    public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
        => TryReceive(buffer.Span, out var count) ? ValueTask.FromResult(count)
            : _thisThreadWaits ? ValueTask.FromResult(WaitAndReceive(buffer, cancellationToken))
            : new ValueTask<int>(Task.Factory.StartNew(
                () => WaitAndReceive(buffer, cancellationToken), cancellationToken, TaskCreationOptions.LongRunning, TaskScheduler.Default));

    /// <inheritdoc/>
    public override async Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken)
        => await ReadAsync(buffer.AsMemory(offset, count), cancellationToken);

    /// <inheritdoc/>
    public override int Read(byte[] buffer, int offset, int count) => ReadAsync(buffer, offset, count, CancellationToken.None).GetAwaiter().GetResult();

    /// <inheritdoc/>
    public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
    {
        var count = _socket.Send(buffer.Span, SocketFlags.None, out var error);
        return error switch
        {
            SocketError.Success when count == buffer.Length => ValueTask.CompletedTask,
            SocketError.Success => SendRestAsync(buffer[count..], cancellationToken),
            SocketError.WouldBlock => SendRestAsync(buffer, cancellationToken),
            _ => ValueTask.FromException(Lost(error)),
        };
    }

    /// <summary>Writes two pieces in one call of the kernel; one write at a time.</summary>
    public ValueTask WriteAsync(ArraySegment<byte> head, ArraySegment<byte> rest, CancellationToken cancellationToken)
    {
        (_parts[0], _parts[1]) = (head, rest);
        var count = _socket.Send(_parts, SocketFlags.None, out var error);
        if (error == SocketError.WouldBlock)
        {
            count = 0;
        }
        else if (error != SocketError.Success)
        {
            return ValueTask.FromException(Lost(error));
        }

        return count == head.Count + rest.Count ? ValueTask.CompletedTask
            : count >= head.Count ? SendRestAsync(rest.AsMemory(count - head.Count), cancellationToken)
            : SendBothAsync(head.AsMemory(count), rest, cancellationToken);
    }

    /// <inheritdoc/>
    public override async Task WriteAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken)
        => await WriteAsync(buffer.AsMemory(offset, count), cancellationToken);

    /// <inheritdoc/>
    public override void Write(byte[] buffer, int offset, int count) => WriteAsync(buffer, offset, count, CancellationToken.None).GetAwaiter().GetResult();

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        try
        {
            _socket.Shutdown(SocketShutdown.Both); // wakes a reader that is parked
        }
        catch (Exception exception) when (exception is SocketException or ObjectDisposedException)
        {
            // The other end is gone, or this one.
        }

        _socket.Dispose();
        base.Dispose(disposing);
    }

    private bool TryReceive(Span<byte> buffer, out int count)
    {
        count = _socket.Receive(buffer, SocketFlags.None, out var error);
        return error == SocketError.Success || (error == SocketError.WouldBlock ? false : throw Lost(error));
    }

    private int WaitAndReceive(Memory<byte> buffer, CancellationToken cancellationToken)
    {
        for (var i = 0; ; i++)
        {
            if (TryReceive(buffer.Span, out var count))
            {
                return count;
            }

            if (i < SpinCount)
            {
                Thread.Yield();
            }
            else
            {
                cancellationToken.ThrowIfCancellationRequested();
                _socket.Poll(ParkLimit, SelectMode.SelectRead);
            }
        }
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    private async ValueTask SendRestAsync(ReadOnlyMemory<byte> rest, CancellationToken cancellationToken)
    {
        while (!rest.IsEmpty)
        {
            rest = rest[await _socket.SendAsync(rest, SocketFlags.None, cancellationToken)..];
        }
    }

    private async ValueTask SendBothAsync(ReadOnlyMemory<byte> head, ReadOnlyMemory<byte> rest, CancellationToken cancellationToken)
    {
        await SendRestAsync(head, cancellationToken);
        await SendRestAsync(rest, cancellationToken);
    }

    private static IOException Lost(SocketError error)
    {
        var cause = new SocketException((int)error);
        return new IOException(cause.Message, cause);
    }
}
