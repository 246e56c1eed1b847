using System.Net.Sockets;
using Distributed.Collectives.Hosting;
using Distributed.Collectives.Hosting.Http2;

namespace Distributed.Collectives.Tests.Http2;

/// <summary>A client frame by frame, which can do what none does.</summary>
internal sealed class RawConnection : IDisposable
{
    private readonly NetworkStream _stream;

    private RawConnection(Socket socket) => _stream = new NetworkStream(socket, ownsSocket: true);

    /// <summary>Connects, and sends the preface and settings.</summary>
    public static async Task<RawConnection> OpenAsync(string path, params byte[] settings)
    {
        var connection = new RawConnection(await UnixSocketAddress.ConnectAsync(path, TimeSpan.FromSeconds(20), CancellationToken.None));
        await connection._stream.WriteAsync("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"u8.ToArray());
        await connection.SendAsync(FrameType.Settings, FrameFlags.None, 0, settings);
        return connection;
    }

    /// <summary>The header fields of a call.</summary>
    public static byte[] Head()
    {
        var block = new HeaderWriter();
        foreach (var (name, value) in new[]
        {
            (":method", "POST"), (":scheme", "http"), (":authority", "localhost"), (":path", "/distributed.Peer/Connect"), ("te", "trailers"), ("content-type", "application/grpc"),
        })
        {
            block.Add(name, value);
        }

        return block.Block.ToArray();
    }

    /// <summary>Sends a frame; where the server has ended the connection, what it said first is still to be read.</summary>
    public async Task SendAsync(FrameType type, FrameFlags flags, int stream, params byte[] payload) => await TrySendAsync(type, flags, stream, payload);

    /// <summary>Sends a frame; whether the connection took it, within a while.</summary>
    public async Task<bool> TrySendAsync(FrameType type, FrameFlags flags, int stream, params byte[] payload)
    {
        var frame = new byte[FrameHeader.Size + payload.Length];
        new FrameHeader(payload.Length, type, flags, stream).Write(frame);
        payload.CopyTo(frame, FrameHeader.Size);
        try
        {
            await _stream.WriteAsync(frame).AsTask().DefaultTimeout();
            return true;
        }
        catch (IOException)
        {
            return false;
        }
    }

    /// <summary>Reads a frame; null at the end of the connection.</summary>
    public async Task<(FrameHeader Header, byte[] Payload)?> ReadAsync()
    {
        try
        {
            var bytes = new byte[FrameHeader.Size];
            await _stream.ReadExactlyAsync(bytes).AsTask().DefaultTimeout();
            var header = FrameHeader.Read(bytes);
            var payload = new byte[header.ByteCount];
            await _stream.ReadExactlyAsync(payload).AsTask().DefaultTimeout();
            return (header, payload);
        }
        catch (IOException)
        {
            return null;
        }
    }

    /// <summary>Reads on to a frame of a type; null where the connection ends before.</summary>
    public async Task<(FrameHeader Header, byte[] Payload)?> ReadAsync(FrameType type)
    {
        while (await ReadAsync() is { } frame)
        {
            if (frame.Header.Type == type)
            {
                return frame;
            }
        }

        return null;
    }

    public void Dispose() => _stream.Dispose();
}
