using System.Buffers.Binary;
using System.Net.Security;

namespace Distributed.Collectives.Hosting.Http2;

/// <summary>
/// One end of an HTTP/2 connection (RFC 9113) that carries one call and no other, so that whoever reads the call's body reads the socket, and whoever writes it
/// writes the socket: no thread stands between, no queue, and of the payload no copy beside that into the first read and, under TLS, into a record.
/// <para>
/// Frames that are not the call's data are dealt with by the reader, between two pieces of data. What they ask to be answered is put aside where the writer is
/// busy, and written after it: a reader never waits for a writer, or two ends could wait for each other. The reader it is, too, who learns that the peer takes more:
/// a handler that writes more than the peer's window must not wait for that before it reads on. Between two ends of this kind a window is 2 GiB.
/// </para>
/// </summary>
internal sealed partial class CallConnection : IDisposable
{
    /// <summary>The largest list of header fields, and the largest block of them.</summary>
    public const int MaxHeaderByteCount = 8 << 10;

    /// <summary>
    /// The largest payload of a frame, received and sent. One frame takes the largest segment.
    /// </summary>
    public const int MaxFrameSize = 2 << 20;

    // All that a window can permit: data is taken off the socket only when it is asked for, so the socket itself holds up a sender that is too fast.
    private const int WindowByteCount = int.MaxValue;
    private const int DefaultWindowByteCount = ushort.MaxValue;

    // What is read at once where it is not known how much is due: headers of frames, frames of a few bytes, and the first part of large ones.
    private const int BufferByteCount = 16 << 10;

    // Header blocks and what else is not data; a peer that sends more than it may is not one of ours.
    private const int MaxControlFrameSize = MaxHeaderByteCount + 256;

    private static ReadOnlySpan<byte> Preface => "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"u8;

    private readonly SocketStream _socket;
    private readonly SslStream? _tls;
    private readonly bool _isServer;
    private readonly byte[] _buffer = new byte[BufferByteCount];
    private int _start;
    private int _end;
    private List<(string Name, string Value)> _fields = [];
    private int _stream;                                      // the call's; 0 before it begins
    private bool _hasHead;                                    // its first header block has been read
    private bool _expectsContinuation;
    private int _due;                                         // of the data frame that is being read
    private int _padding;
    private bool _endsWithData;
    private bool _isRead;                                     // the peer's direction has ended
    private long _consumed;                                   // since the peer's window was last opened
    private volatile bool _isDisposed;

    /// <param name="socket">The connection; this owns it.</param>
    /// <param name="tls">What protects it, above <paramref name="socket"/>, if anything does.</param>
    /// <param name="isServer">Whether this end takes the call; otherwise it makes it.</param>
    public CallConnection(SocketStream socket, SslStream? tls, bool isServer)
    {
        (_socket, _tls, _isServer) = (socket, tls, isServer);
        _stream = isServer ? 0 : 1;
    }

    /// <summary>Whether the peer's direction has ended.</summary>
    public bool IsRead => _isRead;

    /// <summary>Hands out the fields of the header block that was read last; there are none a second time.</summary>
    public List<(string Name, string Value)> TakeFields()
    {
        var fields = _fields;
        _fields = [];
        return fields;
    }

    /// <summary>Begins the connection: who dialled says so, and both say what they take.</summary>
    public async Task BeginAsync(CancellationToken cancellationToken)
    {
        (Setting Id, uint Value)[] settings =
        [
            (Setting.EnablePush, 0),
            (Setting.MaxConcurrentStreams, _isServer ? 1u : 0),
            (Setting.InitialWindowSize, WindowByteCount),
            (Setting.MaxFrameSize, MaxFrameSize),
            (Setting.MaxHeaderListSize, MaxHeaderByteCount),
        ];
        var settingsByteCount = 6 * settings.Length;
        var bytes = new byte[Preface.Length + FrameHeader.Size + settingsByteCount + FrameHeader.Size + sizeof(int)];
        var rest = bytes.AsSpan();
        if (!_isServer)
        {
            Preface.CopyTo(rest);
            rest = rest[Preface.Length..];
        }

        new FrameHeader(settingsByteCount, FrameType.Settings, FrameFlags.None, 0).Write(rest);
        rest = rest[FrameHeader.Size..];
        foreach (var (id, value) in settings)
        {
            BinaryPrimitives.WriteUInt16BigEndian(rest, (ushort)id);
            BinaryPrimitives.WriteUInt32BigEndian(rest[sizeof(ushort)..], value);
            rest = rest[6..];
        }

        new FrameHeader(sizeof(int), FrameType.WindowUpdate, FrameFlags.None, 0).Write(rest);
        BinaryPrimitives.WriteInt32BigEndian(rest[FrameHeader.Size..], WindowByteCount - DefaultWindowByteCount);
        await WriteAsync(bytes.AsMemory(0, bytes.Length - (_isServer ? Preface.Length : 0)), cancellationToken);
        if (_isServer)
        {
            await ReadPrefaceAsync(cancellationToken);
        }
    }

    /// <summary>Reads up to the next header block of the call, whose fields <see cref="TakeFields"/> then hands out.</summary>
    /// <exception cref="IOException">The connection ended, or the peer broke the protocol.</exception>
    /// <exception cref="HttpProtocolException">The peer has reset the call.</exception>
    public async Task ReadHeadersAsync(CancellationToken cancellationToken)
    {
        if (await ReadFramesAsync(cancellationToken) != CallPart.Headers)
        {
            throw Broken(Http2Error.Protocol, "data came before the header fields");
        }
    }

    /// <summary>Reads data of the call's body; 0 at its end, after which <see cref="TakeFields"/> hands out the trailers, if there were any.</summary>
    /// <exception cref="IOException">The connection ended, or the peer broke the protocol.</exception>
    /// <exception cref="HttpProtocolException">The peer has reset the call.</exception>
    public async ValueTask<int> ReadBodyAsync(Memory<byte> destination, CancellationToken cancellationToken)
    {
        if (destination.IsEmpty)
        {
            return 0;
        }

        while (_due == 0)
        {
            if (_isRead || await ReadFramesAsync(cancellationToken) == CallPart.End)
            {
                return 0;
            }
        }

        var count = Math.Min(_due, destination.Length);
        if (_end > _start)
        {
            count = Math.Min(count, _end - _start);
            _buffer.AsSpan(_start, count).CopyTo(destination.Span);
            _start += count;
        }
        else if ((count = await Transport.ReadAsync(destination[..count], cancellationToken)) == 0)
        {
            throw Lost();
        }

        _due -= count;
        if (_due == 0)
        {
            await EndDataAsync(cancellationToken);
        }

        OpenWindow(count);
        return count;
    }

    /// <summary>Ends both directions now; of any thread, and more than once.</summary>
    public void Dispose()
    {
        _isDisposed = true;
        _socket.Dispose();
        WakeWriter();
    }

    private enum CallPart
    {
        Data,
        Headers,
        End,
    }

    private Stream Transport => (Stream?)_tls ?? _socket;

    private async Task ReadPrefaceAsync(CancellationToken cancellationToken)
    {
        await FillAsync(Preface.Length, cancellationToken);
        if (!_buffer.AsSpan(_start, Preface.Length).SequenceEqual(Preface))
        {
            throw new IOException("the caller does not speak HTTP/2");
        }

        _start += Preface.Length;
    }

    // Makes so many bytes of what has arrived lie in the buffer, from _start on.
    private async ValueTask FillAsync(int count, CancellationToken cancellationToken)
    {
        if (_end - _start >= count)
        {
            return;
        }

        _buffer.AsSpan(_start, _end - _start).CopyTo(_buffer);
        (_start, _end) = (0, _end - _start);
        while (_end < count)
        {
            var read = await Transport.ReadAsync(_buffer.AsMemory(_end), cancellationToken);
            _end += read > 0 ? read : throw Lost();
        }
    }

    // Reads frames up to one that has data, ends a header block of the call, or ends its direction.
    private async ValueTask<CallPart> ReadFramesAsync(CancellationToken cancellationToken)
    {
        while (true)
        {
            await FillAsync(FrameHeader.Size, cancellationToken);
            var frame = FrameHeader.Read(_buffer.AsSpan(_start));
            _start += FrameHeader.Size;
            if (_expectsContinuation != (frame.Type == FrameType.Continuation))
            {
                throw Broken(Http2Error.Protocol, $"a {frame.Type} frame is out of place");
            }

            if (frame.Type == FrameType.Data)
            {
                await BeginDataAsync(frame, cancellationToken);
                if (_due > 0 || _isRead)
                {
                    return _due > 0 ? CallPart.Data : CallPart.End;
                }

                continue;
            }

            if (frame.ByteCount > MaxControlFrameSize)
            {
                throw Broken(Http2Error.FrameSize, $"a {frame.Type} frame of {frame.ByteCount} bytes is over the limit of {MaxControlFrameSize}");
            }

            await FillAsync(frame.ByteCount, cancellationToken);
            var payload = _buffer.AsMemory(_start, frame.ByteCount);
            _start += frame.ByteCount;
            if (Take(frame, payload.Span))
            {
                return CallPart.Headers;
            }
        }
    }

    private async ValueTask BeginDataAsync(FrameHeader frame, CancellationToken cancellationToken)
    {
        if (frame.Stream != _stream || frame.Stream == 0 || _isRead || !_hasHead)
        {
            throw Broken(Http2Error.Protocol, $"data came for stream {frame.Stream}, which takes none");
        }

        if (frame.ByteCount > MaxFrameSize)
        {
            throw Broken(Http2Error.FrameSize, $"a data frame of {frame.ByteCount} bytes is over the limit of {MaxFrameSize}");
        }

        (_due, _padding, _endsWithData) = (frame.ByteCount, 0, frame.Has(FrameFlags.EndOrAnswer));
        if (frame.Has(FrameFlags.Padded))
        {
            await FillAsync(1, cancellationToken);
            _padding = _buffer[_start++];
            _due = frame.ByteCount - 1 - _padding;
            if (_due < 0)
            {
                throw Broken(Http2Error.Protocol, "the padding of a frame is longer than the frame");
            }

            OpenWindow(1);
        }

        if (_due == 0)
        {
            await EndDataAsync(cancellationToken);
        }
    }

    private async ValueTask EndDataAsync(CancellationToken cancellationToken)
    {
        if (_padding > 0)
        {
            await FillAsync(_padding, cancellationToken);
            _start += _padding;
            OpenWindow(_padding);
            _padding = 0;
        }

        _isRead |= _endsWithData;
    }

    // Deals with a frame that is not data; returns whether it ended a header block of the call.
    private bool Take(FrameHeader frame, ReadOnlySpan<byte> payload)
    {
        switch (frame.Type)
        {
            case FrameType.Headers or FrameType.Continuation:
                return TakeHeaders(frame, payload);
            case FrameType.Settings when !frame.Has(FrameFlags.EndOrAnswer):
                TakeSettings(payload);
                Answer(FrameType.Settings, []);
                return false;
            case FrameType.Ping when payload.Length != sizeof(ulong):
                throw Broken(Http2Error.FrameSize, "a ping has eight bytes");
            case FrameType.Ping when !frame.Has(FrameFlags.EndOrAnswer):
                Answer(FrameType.Ping, payload);
                return false;
            case FrameType.WindowUpdate:
                TakeWindow(frame, payload);
                return false;
            case FrameType.ResetStream when frame.Stream == _stream && payload.Length == sizeof(uint):
                var code = BinaryPrimitives.ReadUInt32BigEndian(payload);
                throw new HttpProtocolException(code, $"the other side has reset the call (HTTP/2 error {code})", null);
            case FrameType.GoAway when payload.Length >= 2 * sizeof(uint) && BinaryPrimitives.ReadUInt32BigEndian(payload[sizeof(uint)..]) is var reason and not 0:
                throw new HttpProtocolException(reason, $"the other side has ended the connection (HTTP/2 error {reason})", null);
            case FrameType.PushPromise:
                throw Broken(Http2Error.Protocol, "a push was promised that nobody permitted");
            default:
                return false; // an answer, a priority, a good end, or what a later version may add
        }
    }

    private static IOException Lost() => new("the connection ended");
}
