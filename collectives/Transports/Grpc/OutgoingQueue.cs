using Distributed.Protos;
using Google.Protobuf;

namespace Distributed.Collectives.Transports.Grpc;

/// <summary>
/// A few segments between the owner thread, which puts them in, and whoever writes them to the stream: the owner sums while they are written, and
/// begins no write of its own. The payload is copied: the write goes on after the send, and the sender's memory may be anything, the stack for one.
/// </summary>
internal sealed class OutgoingQueue
{
    // What an algorithm sends ahead of what it receives.
    private const int Capacity = OutgoingMessage.Window;

    private readonly Place[] _places = [.. Enumerable.Range(0, Capacity).Select(_ => new Place())];
    private int _count;
    private int _first; // of the writer
    private int _last;  // of the owner thread

    /// <summary>The number of free places; taken by the owner thread before it puts a segment in.</summary>
    public SemaphoreSlim Room { get; } = new(Capacity, Capacity);

    /// <summary>The oldest segment; <see langword="null"/> where there is none. Of any thread for the question, and of the one writer for the frame.</summary>
    public PeerFrame? First => Volatile.Read(ref _count) == 0 ? null : _places[_first].Frame;

    /// <summary>Puts a segment into a place that has been taken from <see cref="Room"/>; of the owner thread.</summary>
    public void Put(in SegmentHeader header, ReadOnlySpan<byte> payload, uint checksum)
    {
        _places[_last].Fill(header, payload, checksum);
        _last = (_last + 1) % Capacity;
        Interlocked.Increment(ref _count);
    }

    /// <summary>Frees the place of the oldest segment, which has been written; of the writer.</summary>
    public void RemoveFirst()
    {
        _first = (_first + 1) % Capacity;
        Interlocked.Decrement(ref _count);
        Room.Release();
    }

    private sealed class Place
    {
        private readonly Protos.Segment _segment = new();
        private byte[] _payload = [];

        public Place() => Frame = new PeerFrame { Segment = _segment };

        public PeerFrame Frame { get; }

        public void Fill(in SegmentHeader header, ReadOnlySpan<byte> payload, uint checksum)
        {
            if (_payload.Length < payload.Length)
            {
                _payload = new byte[Math.Max(payload.Length, Math.Min(2 * payload.Length, MessageSegments.ByteCount))];
            }

            payload.CopyTo(_payload);
            _segment.Operation = header.Operation;
            _segment.Tag = header.Tag;
            _segment.Sequence = header.Sequence;
            _segment.MessageByteCount = (ulong)header.MessageByteCount;
            _segment.Detail = header.Detail.Bits;
            _segment.Crc32C = checksum;
            _segment.Payload = UnsafeByteOperations.UnsafeWrap(_payload.AsMemory(0, payload.Length));
        }
    }
}
