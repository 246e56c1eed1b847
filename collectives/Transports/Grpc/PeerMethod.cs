using System.Buffers;
using Distributed.Protos;
using Google.Protobuf;
using Grpc.Core;

namespace Distributed.Collectives.Transports.Grpc;

/// <summary>
/// <c>distributed.Peer/Connect</c> as peer.proto has it, but for where the payload of a segment goes: into memory that is used again
/// (<see cref="SegmentBuffers"/>). A frame of any other form than the usual one is read as protobuf reads it.
/// </summary>
internal static class PeerMethod
{
    // Tags of peer.proto: the number of a field and how it is written.
    private const byte SegmentTag = (4 << 3) | LengthDelimited;
    private const byte OperationTag = (1 << 3) | Varint;
    private const byte TagTag = (2 << 3) | Fixed32;
    private const byte SequenceTag = (3 << 3) | Fixed64;
    private const byte MessageByteCountTag = (4 << 3) | Varint;
    private const byte ChecksumTag = (5 << 3) | Fixed32;
    private const byte PayloadTag = (6 << 3) | LengthDelimited;
    private const byte DetailTag = (7 << 3) | Fixed32;
    private const int Varint = 0;
    private const int Fixed64 = 1;
    private const int LengthDelimited = 2;
    private const int Fixed32 = 5;

    /// <summary>The method, for both sides.</summary>
    public static Method<PeerFrame, PeerFrame> Connect { get; } = new(
        MethodType.DuplexStreaming, "distributed.Peer", nameof(Connect), Marshallers.Create<PeerFrame>(Write, Read), Marshallers.Create<PeerFrame>(Write, Read));

    /// <summary>Adds the method to a server; called by its type.</summary>
    public static void Bind(ServiceBinderBase binder, PeerServiceBase? service)
        => binder.AddMethod(Connect, service is null ? null! : new DuplexStreamingServerMethod<PeerFrame, PeerFrame>(service.Connect)); // bound by type, there is none yet

    /// <summary>Reads a frame.</summary>
    /// <exception cref="InvalidProtocolBufferException">It is not one.</exception>
    internal static PeerFrame Read(ReadOnlySequence<byte> bytes)
        => TryReadSegment(bytes) is { } segment ? new PeerFrame { Segment = segment } : PeerFrame.Parser.ParseFrom(bytes);

    private static PeerFrame Read(DeserializationContext context) => Read(context.PayloadAsReadOnlySequence());

    private static void Write(PeerFrame frame, SerializationContext context)
    {
        context.SetPayloadLength(frame.CalculateSize());
        frame.WriteTo(context.GetBufferWriter());
        context.Complete();
    }

    private static Protos.Segment? TryReadSegment(ReadOnlySequence<byte> bytes)
    {
        var reader = new SequenceReader<byte>(bytes);
        if (!reader.TryRead(out var tag) || tag != SegmentTag || !TryReadVarint(ref reader, out var byteCount) || byteCount != (ulong)reader.Remaining)
        {
            return null;
        }

        var segment = new Protos.Segment();
        while (reader.TryRead(out tag))
        {
            if (!TryReadField(ref reader, tag, segment))
            {
                return null;
            }
        }

        return segment;
    }

    private static bool TryReadField(ref SequenceReader<byte> reader, byte tag, Protos.Segment segment)
    {
        ulong number;
        int bits;
        switch (tag)
        {
            case OperationTag when TryReadVarint(ref reader, out number) && number <= int.MaxValue:
                segment.Operation = (Operation)(int)number;
                return true;
            case TagTag when reader.TryReadLittleEndian(out bits):
                segment.Tag = unchecked((uint)bits);
                return true;
            case SequenceTag when reader.TryReadLittleEndian(out long sequence):
                segment.Sequence = unchecked((ulong)sequence);
                return true;
            case MessageByteCountTag when TryReadVarint(ref reader, out number):
                segment.MessageByteCount = number;
                return true;
            case ChecksumTag when reader.TryReadLittleEndian(out bits):
                segment.Crc32C = unchecked((uint)bits);
                return true;
            case DetailTag when reader.TryReadLittleEndian(out bits):
                segment.Detail = unchecked((uint)bits);
                return true;
            case PayloadTag when segment.Payload.IsEmpty && TryReadVarint(ref reader, out number) && number <= (ulong)reader.Remaining:
                var payload = SegmentBuffers.Take((int)number); // of what has arrived
                reader.TryCopyTo(payload.Span);
                reader.Advance(payload.Length);
                segment.Payload = UnsafeByteOperations.UnsafeWrap(payload);
                return true;
            default:
                return false;
        }
    }

    private static bool TryReadVarint(ref SequenceReader<byte> reader, out ulong value)
    {
        value = 0;
        for (var shift = 0; shift < 63 && reader.TryRead(out var part); shift += 7)
        {
            value |= (ulong)(part & 127) << shift;
            if (part < 128)
            {
                return true;
            }
        }

        return false;
    }
}

/// <summary>What <see cref="PeerMethod"/> is bound to: the official packages look for the method that overrides one of the type with the attribute, as generated bases have it.</summary>
[BindServiceMethod(typeof(PeerMethod), nameof(PeerMethod.Bind))]
internal abstract class PeerServiceBase
{
    public abstract Task Connect(IAsyncStreamReader<PeerFrame> requestStream, IServerStreamWriter<PeerFrame> responseStream, ServerCallContext context);
}
