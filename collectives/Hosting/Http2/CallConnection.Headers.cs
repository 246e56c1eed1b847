using System.Buffers.Binary;

namespace Distributed.Collectives.Hosting.Http2;

/// <content>Header blocks, which may come in several frames.</content>
internal sealed partial class CallConnection
{
    private readonly HeaderReader _headerReader = new(MaxHeaderByteCount);
    private readonly MemoryStream _block = new(); // of header fields that are continued
    private int _blockStream;
    private int _refusedCount;
    private bool _endsWithBlock;

    private bool TakeHeaders(FrameHeader frame, ReadOnlySpan<byte> payload)
    {
        if (frame.Type == FrameType.Headers)
        {
            payload = Unpadded(frame, payload);
            (_blockStream, _endsWithBlock) = (frame.Stream, frame.Has(FrameFlags.EndOrAnswer));
        }
        else if (frame.Stream != _blockStream || (payload.IsEmpty && !frame.Has(FrameFlags.EndHeaders)))
        {
            // RFC 9113 permits empty ones; of those a block could have any number, and no end.
            throw Broken(Http2Error.Protocol, "a continuation does not continue the header block before it");
        }

        if (_block.Length + payload.Length > MaxHeaderByteCount)
        {
            throw Broken(Http2Error.EnhanceYourCalm, $"a header block has more than {MaxHeaderByteCount} bytes");
        }

        _block.Write(payload);
        _expectsContinuation = !frame.Has(FrameFlags.EndHeaders);
        if (_expectsContinuation)
        {
            return false;
        }

        var fields = ReadFields();
        if (_stream == 0 && frame.Stream % 2 == 1)
        {
            _stream = frame.Stream;
        }

        if (frame.Stream != _stream)
        {
            Refuse(frame.Stream);
            return false;
        }

        if (_isRead || (_isServer && _hasHead && !_endsWithBlock))
        {
            throw Broken(Http2Error.Protocol, "header fields came after the end of the call");
        }

        (_fields, _hasHead, _isRead) = (fields, true, _endsWithBlock);
        return true;
    }

    private List<(string Name, string Value)> ReadFields()
    {
        try
        {
            return _headerReader.Read(_block.GetBuffer().AsSpan(0, (int)_block.Length));
        }
        catch (HeaderException exception)
        {
            throw Broken(Http2Error.Compression, exception.Message);
        }
        finally
        {
            _block.SetLength(0);
        }
    }

    private ReadOnlySpan<byte> Unpadded(FrameHeader frame, ReadOnlySpan<byte> payload)
    {
        var head = (frame.Has(FrameFlags.Padded) ? 1 : 0) + (frame.Has(FrameFlags.HasPriority) ? 5 : 0);
        var padding = frame.Has(FrameFlags.Padded) && payload.Length > 0 ? payload[0] : 0;
        return head + padding <= payload.Length ? payload[head..^padding] : throw Broken(Http2Error.Protocol, "the padding of a frame is longer than the frame");
    }

    // A second call on the connection, which the settings forbid, but the caller may not have read them yet.
    private void Refuse(int stream)
    {
        if (!_isServer || stream % 2 == 0 || ++_refusedCount > 8)
        {
            throw Broken(Http2Error.Protocol, $"stream {stream} is not the call's");
        }

        Span<byte> code = stackalloc byte[sizeof(uint)];
        BinaryPrimitives.WriteUInt32BigEndian(code, (uint)Http2Error.RefusedStream);
        PutAside(new FrameHeader(code.Length, FrameType.ResetStream, FrameFlags.None, stream), code);
    }
}
