using System.Buffers.Binary;

namespace Distributed.Collectives.Hosting.Http2;

/// <summary>What a frame is (RFC 9113, section 6).</summary>
internal enum FrameType : byte
{
    Data = 0,
    Headers = 1,
    Priority = 2,
    ResetStream = 3,
    Settings = 4,
    PushPromise = 5,
    Ping = 6,
    GoAway = 7,
    WindowUpdate = 8,
    Continuation = 9,
}

/// <summary>Marks of a frame; what a bit means depends on the type.</summary>
[Flags]
internal enum FrameFlags : byte
{
    None = 0,

    /// <summary>Of data and headers: the sender's direction ends with this frame. Of settings and pings: an answer.</summary>
    EndOrAnswer = 0x1,
    EndHeaders = 0x4,
    Padded = 0x8,
    HasPriority = 0x20,
}

/// <summary>What a setting is about (section 6.5.2).</summary>
internal enum Setting : ushort
{
    HeaderTableSize = 1,
    EnablePush = 2,
    MaxConcurrentStreams = 3,
    InitialWindowSize = 4,
    MaxFrameSize = 5,
    MaxHeaderListSize = 6,
}

/// <summary>Why a stream or a connection ends (section 7).</summary>
internal enum Http2Error : uint
{
    None = 0,
    Protocol = 1,
    Internal = 2,
    FlowControl = 3,
    FrameSize = 6,
    RefusedStream = 7,
    Cancel = 8,
    Compression = 9,
    EnhanceYourCalm = 11,
}

/// <summary>The nine bytes before the payload of a frame: its length in 24 bits, type, flags and stream, big endian (section 4.1).</summary>
/// <param name="ByteCount">The length of the payload.</param>
/// <param name="Type">What it is.</param>
/// <param name="Flags">Its marks.</param>
/// <param name="Stream">The stream; 0 is the connection.</param>
internal readonly record struct FrameHeader(int ByteCount, FrameType Type, FrameFlags Flags, int Stream)
{
    /// <summary>The length of a header.</summary>
    public const int Size = 9;

    /// <summary>The largest payload that every endpoint takes.</summary>
    public const int SmallestMaxFrameSize = 16 << 10;

    /// <summary>The largest payload that an endpoint can permit.</summary>
    public const int LargestMaxFrameSize = (1 << 24) - 1;

    /// <summary>Whether a mark is set.</summary>
    public bool Has(FrameFlags flag) => (Flags & flag) != 0;

    /// <summary>Reads a header from <see cref="Size"/> bytes.</summary>
    public static FrameHeader Read(ReadOnlySpan<byte> bytes) => new(
        (bytes[0] << 16) | (bytes[1] << 8) | bytes[2],
        (FrameType)bytes[3],
        (FrameFlags)bytes[4],
        BinaryPrimitives.ReadInt32BigEndian(bytes[5..]) & int.MaxValue);

    /// <summary>Writes the header to <see cref="Size"/> bytes.</summary>
    public void Write(Span<byte> bytes)
    {
        BinaryPrimitives.WriteInt32BigEndian(bytes, (ByteCount << 8) | (int)Type);
        bytes[4] = (byte)Flags;
        BinaryPrimitives.WriteInt32BigEndian(bytes[5..], Stream);
    }
}
