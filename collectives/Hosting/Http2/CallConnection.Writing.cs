using System.Buffers;
using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Distributed.Collectives.Hosting.Http2;

/// <content>What this end writes, and the credit that the peer gives it.</content>
internal sealed partial class CallConnection
{
    // Answers that wait for the writer; a peer that asks for more without reading is not one of ours.
    private const int MaxAsideByteCount = 4 << 10;

    private readonly SemaphoreSlim _writing = new(1, 1);
    private readonly byte[] _head = new byte[FrameHeader.Size];
    private readonly ArrayBufferWriter<byte> _aside = new(256);   // guarded by itself
    private readonly Lock _credit = new();
    private long _connectionCredit = DefaultWindowByteCount;      // guarded by _credit, as the next three
    private long _streamCredit = DefaultWindowByteCount;
    private uint _initialWindow = DefaultWindowByteCount;
    private TaskCompletionSource? _credited;
    private volatile int _peerMaxFrameSize = FrameHeader.SmallestMaxFrameSize;
    private volatile bool _isBroken;                              // by the peer, who has been told: nothing follows
    private byte[] _record = [];                                  // a frame with its header, under TLS; of the writer

    /// <summary>Writes a header block of the call.</summary>
    /// <param name="block">The fields.</param>
    /// <param name="isLast">Whether this direction ends with it.</param>
    /// <param name="cancellationToken">Ends the attempt, and the connection with it.</param>
    public async Task WriteHeadersAsync(HeaderWriter block, bool isLast, CancellationToken cancellationToken)
    {
        var flags = FrameFlags.EndHeaders | (isLast ? FrameFlags.EndOrAnswer : FrameFlags.None);
        if (block.Block.Length > FrameHeader.SmallestMaxFrameSize)
        {
            throw new IOException($"the header fields have {block.Block.Length} bytes; a frame takes {FrameHeader.SmallestMaxFrameSize}");
        }

        await WriteFrameAsync(new FrameHeader(block.Block.Length, FrameType.Headers, flags, _stream), block.Block, cancellationToken);
    }

    /// <summary>Writes data of the call, waiting for credit; one write at a time.</summary>
    /// <param name="data">Free for reuse when the write has ended.</param>
    /// <param name="isLast">Whether this direction ends with it.</param>
    /// <param name="cancellationToken">Ends the attempt, and the connection with it.</param>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    public async ValueTask WriteBodyAsync(ReadOnlyMemory<byte> data, bool isLast, CancellationToken cancellationToken)
    {
        do
        {
            var wanted = Math.Min(data.Length, _peerMaxFrameSize);
            int count;
            while (!TryTakeCredit(wanted, out count, out var credited))
            {
                await credited.WaitAsync(cancellationToken);
                ObjectDisposedException.ThrowIf(_isDisposed, this);
            }

            var flags = isLast && count == data.Length ? FrameFlags.EndOrAnswer : FrameFlags.None;
            await WriteFrameAsync(new FrameHeader(count, FrameType.Data, flags, _stream), data[..count], cancellationToken);
            data = data[count..];
        }
        while (!data.IsEmpty);
    }

    /// <summary>Tells the peer that the call is over for a reason other than its end.</summary>
    public async Task ResetAsync(Http2Error error, CancellationToken cancellationToken)
    {
        var code = new byte[sizeof(uint)];
        BinaryPrimitives.WriteUInt32BigEndian(code, (uint)error);
        await WriteFrameAsync(new FrameHeader(code.Length, FrameType.ResetStream, FrameFlags.None, _stream), code, cancellationToken);
    }

    /// <summary>Says that no other call is taken, ends this direction of the connection, and reads off what is still coming, so that the peer gets all that was written.</summary>
    /// <param name="cancellationToken">Ends the reading, in the end.</param>
    public async Task LeaveAsync(CancellationToken cancellationToken)
    {
        var last = new byte[2 * sizeof(uint)];
        BinaryPrimitives.WriteInt32BigEndian(last, _stream);
        await WriteFrameAsync(new FrameHeader(last.Length, FrameType.GoAway, FrameFlags.None, 0), last, cancellationToken);
        await _writing.WaitAsync(cancellationToken); // for good: nothing is written any more
        if (_tls is not null)
        {
            await _tls.ShutdownAsync();
        }

        _socket.EndWriting();
        while (await Transport.ReadAsync(_buffer, cancellationToken) > 0)
        {
            // Nobody wants it any more.
        }
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    private async ValueTask WriteFrameAsync(FrameHeader header, ReadOnlyMemory<byte> payload, CancellationToken cancellationToken)
    {
        if (!_writing.Wait(0, CancellationToken.None))
        {
            await _writing.WaitAsync(cancellationToken);
        }

        try
        {
            ObjectDisposedException.ThrowIf(_isDisposed || _isBroken, this);
            header.Write(_head);
            if (_tls is not null)
            {
                await WriteAsync(Record(payload.Span), cancellationToken);
            }
            else if (!payload.IsEmpty && MemoryMarshal.TryGetArray(payload, out var bytes))
            {
                await _socket.WriteAsync(_head, bytes, cancellationToken);
            }
            else
            {
                await _socket.WriteAsync(_head, cancellationToken);
                await _socket.WriteAsync(payload, cancellationToken);
            }
        }
        catch
        {
            Dispose(); // what follows half a frame is none
            throw;
        }
        finally
        {
            ReleaseWriting();
        }
    }

    // TLS makes records of what it is given at once.
    private ReadOnlyMemory<byte> Record(ReadOnlySpan<byte> payload)
    {
        var byteCount = _head.Length + payload.Length;
        if (_record.Length < byteCount)
        {
            _record = new byte[(int)Math.Max(1024, System.Numerics.BitOperations.RoundUpToPowerOf2((uint)byteCount))];
        }

        _head.CopyTo(_record, 0);
        payload.CopyTo(_record.AsSpan(_head.Length));
        return _record.AsMemory(0, byteCount);
    }

    private ValueTask WriteAsync(ReadOnlyMemory<byte> bytes, CancellationToken cancellationToken) => Transport.WriteAsync(bytes, cancellationToken);

    // Puts aside before it asks for the right to write, and a writer gives that back before he looks for what was put aside: one of the two sees the other.
    private void PutAside(FrameHeader header, ReadOnlySpan<byte> payload)
    {
        lock (_aside)
        {
            if (_aside.WrittenCount > MaxAsideByteCount)
            {
                throw new IOException("the other side asks for answers and does not take them");
            }

            header.Write(_aside.GetSpan(FrameHeader.Size));
            _aside.Advance(FrameHeader.Size);
            _aside.Write(payload);
        }

        WriteAside();
    }

    private void Answer(FrameType type, ReadOnlySpan<byte> payload) => PutAside(new FrameHeader(payload.Length, type, FrameFlags.EndOrAnswer, 0), payload);

    private void ReleaseWriting()
    {
        _writing.Release();
        Interlocked.MemoryBarrier();
        WriteAside();
    }

    private void WriteAside()
    {
        if (_aside.WrittenCount > 0 && _writing.Wait(0))
        {
            _ = WriteAsideAsync();
        }
    }

    // The caller holds the right to write.
    private async Task WriteAsideAsync()
    {
        try
        {
            byte[] bytes;
            lock (_aside)
            {
                bytes = _aside.WrittenSpan.ToArray();
                _aside.ResetWrittenCount();
            }

            await WriteAsync(bytes, CancellationToken.None);
        }
        catch (Exception)
        {
            Dispose(); // the connection is over, as the reader finds too, and a writer that waits for its turn
            _writing.Release();
            return;
        }

        ReleaseWriting();
    }

    private void TakeSettings(ReadOnlySpan<byte> payload)
    {
        if (payload.Length % 6 != 0)
        {
            throw Broken(Http2Error.FrameSize, "settings have six bytes each");
        }

        for (; !payload.IsEmpty; payload = payload[6..])
        {
            var value = BinaryPrimitives.ReadUInt32BigEndian(payload[sizeof(ushort)..]);
            switch ((Setting)BinaryPrimitives.ReadUInt16BigEndian(payload))
            {
                case Setting.MaxFrameSize when value is < FrameHeader.SmallestMaxFrameSize or > FrameHeader.LargestMaxFrameSize:
                    throw Broken(Http2Error.Protocol, $"a largest frame of {value} bytes is not permitted");
                case Setting.MaxFrameSize:
                    _peerMaxFrameSize = Math.Min((int)value, MaxFrameSize);
                    break;
                case Setting.InitialWindowSize when value > int.MaxValue:
                    throw Broken(Http2Error.FlowControl, $"a window of {value} bytes is not permitted");
                case Setting.InitialWindowSize:
                    AddCredit(0, (long)value - _initialWindow);
                    _initialWindow = value;
                    break;
                default:
                    break; // no concern of a writer that compresses nothing
            }
        }
    }

    private void TakeWindow(FrameHeader frame, ReadOnlySpan<byte> payload)
    {
        var increment = payload.Length == sizeof(uint) ? BinaryPrimitives.ReadInt32BigEndian(payload) & int.MaxValue : 0;
        if (increment == 0)
        {
            throw Broken(Http2Error.Protocol, "a window is opened by nothing");
        }

        if (frame.Stream == 0)
        {
            AddCredit(increment, 0);
        }
        else if (frame.Stream == _stream)
        {
            AddCredit(0, increment);
        }
    }

    private void AddCredit(long connection, long stream)
    {
        TaskCompletionSource? credited;
        lock (_credit)
        {
            _connectionCredit += connection;
            _streamCredit += stream;
            if (Math.Max(_connectionCredit, _streamCredit) > int.MaxValue)
            {
                throw Broken(Http2Error.FlowControl, "a window is opened beyond 2 GiB");
            }

            (credited, _credited) = (_credited, null);
        }

        credited?.TrySetResult();
    }

    // An empty frame needs none.
    private bool TryTakeCredit(int wanted, out int count, out Task credited)
    {
        lock (_credit)
        {
            ObjectDisposedException.ThrowIf(_isDisposed, this);
            count = (int)Math.Min(wanted, Math.Max(0, Math.Min(_connectionCredit, _streamCredit)));
            if (count == 0 && wanted > 0)
            {
                _credited ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
                credited = _credited.Task;
                return false;
            }

            _connectionCredit -= count;
            _streamCredit -= count;
            credited = Task.CompletedTask;
            return true;
        }
    }

    private void WakeWriter()
    {
        lock (_credit)
        {
            _credited?.TrySetResult();
        }
    }

    // Gives the peer back what has been read, when it is half of what it was given.
    private void OpenWindow(int count)
    {
        _consumed += count;
        if (_consumed < WindowByteCount / 2)
        {
            return;
        }

        Span<byte> increment = stackalloc byte[sizeof(int)];
        BinaryPrimitives.WriteInt32BigEndian(increment, (int)_consumed);
        PutAside(new FrameHeader(increment.Length, FrameType.WindowUpdate, FrameFlags.None, 0), increment);
        PutAside(new FrameHeader(increment.Length, FrameType.WindowUpdate, FrameFlags.None, _stream), increment);
        _consumed = 0;
    }

    // Says why the connection ends, where that can be said at once; the exception is for this end.
    private IOException Broken(Http2Error error, string what)
    {
        var payload = new byte[2 * sizeof(uint)];
        BinaryPrimitives.WriteInt32BigEndian(payload, _stream);
        BinaryPrimitives.WriteUInt32BigEndian(payload.AsSpan(sizeof(uint)), (uint)error);
        try
        {
            PutAside(new FrameHeader(payload.Length, FrameType.GoAway, FrameFlags.None, 0), payload);
        }
        catch (IOException)
        {
            // It does not take that either.
        }

        _isBroken = true;
        return new IOException($"the other side broke HTTP/2: {what}");
    }
}
