using System.Diagnostics;
using Distributed.Protos;

namespace Distributed.Collectives.Transports.SharedMemory;

/// <summary>
/// The segments that are on their way from one rank to another through shared memory: a ring of <see cref="SlotCount"/> slots, one
/// segment each, with one sender and one receiver.
/// <para>
/// A segment's <em>number</em> counts from 1 and says which slot it lies in. The sender fills the slot and writes the number last; the
/// receiver polls it where the next number is due, so a short segment costs one cache line's way between the cores. What a slot held
/// before has a smaller number, so nothing has to be cleared. The receiver counts what it has <em>consumed</em>, and the sender looks at
/// that only when, as far as it knows, the ring is full.
/// </para>
/// <para>
/// A wait spins for a moment, in which a peer on another core answers; then it offers its core, as on a machine with more ranks than
/// cores the peer has no other; then it parks. A word a side says that it is parked. Each side writes what the other waits for before
/// it looks at that word, with a full fence between, and the other sets the word before it looks again: one of the two sees the other.
/// </para>
/// </summary>
/// <param name="start">The memory of the ring, <see cref="ByteCount"/> bytes, zero at first.</param>
internal sealed unsafe class SegmentRing(byte* start)
{
    /// <summary>
    /// The number of slots: a mebibyte fits between two ranks, so that both may send one before either receives. Fewer bytes stay in
    /// the cache.
    /// </summary>
    public const int SlotCount = 16;

    /// <summary>The size of a ring.</summary>
    public const long ByteCount = ControlByteCount + (SlotCount * (long)SlotByteCount);

    // Words that different cores write lie two cache lines apart: the prefetcher fetches lines in pairs.
    private const int ControlByteCount = 3 * 128;
    private const int ReceiverParkedOffset = 128;
    private const int SenderParkedOffset = 256;

    // A slot: number, tag, operation, message length, payload length and place, detail, payload. A payload of up to 32 bytes lies in the header's line.
    private const int TagOffset = 8;
    private const int OperationOffset = 12;
    private const int MessageByteCountOffset = 16;
    private const int PayloadWordOffset = 24;
    private const int DetailOffset = 28;
    private const int ShortPayloadOffset = 32;
    private const int LongPayloadOffset = 64;

    // The word that says how long the payload is, and in its upper bits its place on the sender's board, + 1, where it is there and not in the slot.
    private const int PlaceShift = 20;

    private const int SlotByteCount = LongPayloadOffset + MessageSegments.ByteCount;

    // Longer gains nothing where each rank has a core (an offered core comes back within 0.3 us), and costs where ranks share one: 4 ranks on
    // 2 cores took 16 us a sum of 8 KiB with 80, and 11.5 with 8.
    private const int SpinCount = 8;

    // Ranks whose shares of a layer take a little longer or shorter meet within this time; waking a parked thread costs about as much.
    private static readonly long YieldTicks = Stopwatch.Frequency / 5_000; // 200 us

    // A turn that somebody else took, for however long, counts as this much: nothing was lost by it. Yet four are enough: a thread that goes on
    // offering its core is put behind all others, and comes late when its segment is there.
    private static readonly long LongestTurnTicks = YieldTicks / 4;

    // A parked thread looks by itself this often: a peer that dies between its write and its wake-up costs that much, not the deadline.
    private static readonly TimeSpan ParkLimit = TimeSpan.FromMilliseconds(500);

    private ulong _sent;
    private ulong _received;
    private ulong _knownConsumed;
    private volatile bool _isClosed;
    private long _waitedTicks;
    private byte* _board;

    /// <summary>How long the receiver has waited for segments that were not there yet.</summary>
    public TimeSpan Waited => TimeSpan.FromTicks(Interlocked.Read(ref _waitedTicks));

    private ulong* Consumed => (ulong*)start;

    private uint* ReceiverParked => (uint*)(start + ReceiverParkedOffset);

    private uint* SenderParked => (uint*)(start + SenderParkedOffset);

    /// <summary>The number of the next segment that is sent; of the sender.</summary>
    public ulong NextNumber => _sent + 1;

    /// <summary>Names the sender's <see cref="PayloadBoard"/>, which this process has mapped; of the receiver, before it receives.</summary>
    public void ReadBoard(SharedMemoryRegion? board) => _board = board is null ? null : board.Content;

    /// <summary>Whether the receiver has given back the segment of a number; of the sender. It does not wait.</summary>
    public bool IsConsumed(ulong number)
    {
        if (_knownConsumed < number)
        {
            _knownConsumed = Math.Clamp(Volatile.Read(ref *Consumed), _knownConsumed, _sent);
        }

        return _knownConsumed >= number;
    }

    /// <summary>Puts a segment in, waiting for a free slot; of the sender.</summary>
    /// <param name="header">Of the segment.</param>
    /// <param name="payload">[byte]</param>
    /// <param name="operation">The limit.</param>
    /// <param name="place">Where the payload is on this rank's board, which the receiver then reads; else it is copied into the slot.</param>
    /// <returns>Whether there was one before the operation's limit or <see cref="Close"/>.</returns>
    public bool TrySend(in SegmentHeader header, ReadOnlySpan<byte> payload, RunningOperation operation, int place = PayloadBoard.Nowhere)
    {
        if (_sent - _knownConsumed >= SlotCount && !WaitForRoom(operation))
        {
            return false;
        }

        var slot = Slot(_sent);
        *(uint*)(slot + TagOffset) = header.Tag;
        *(int*)(slot + OperationOffset) = (int)header.Operation;
        *(long*)(slot + MessageByteCountOffset) = header.MessageByteCount;
        *(uint*)(slot + PayloadWordOffset) = (uint)payload.Length | ((uint)(place + 1) << PlaceShift);
        *(uint*)(slot + DetailOffset) = header.Detail.Bits;
        if (place == PayloadBoard.Nowhere)
        {
            payload.CopyTo(new Span<byte>(slot + PayloadOffset(payload.Length), MessageSegments.ByteCount));
        }

        Volatile.Write(ref *(ulong*)slot, ++_sent);
        WakeIfParked(ReceiverParked);
        return true;
    }

    /// <summary>Waits for the next segment; of the receiver. It stays in its slot until <see cref="Release"/>.</summary>
    /// <returns>Whether it came before the operation's limit or <see cref="Close"/>; what was sent before the close still does.</returns>
    public bool TryReceive(RunningOperation operation, out SegmentHeader header, out ReadOnlySpan<byte> payload)
    {
        var slot = Slot(_received);
        if (!WaitForArrival(operation))
        {
            header = default;
            payload = default;
            return false;
        }

        // Read once and bounded before it is used: the memory is the peer's as well.
        var word = Volatile.Read(ref *(uint*)(slot + PayloadWordOffset));
        var byteCount = (int)Math.Min(word & ((1u << PlaceShift) - 1), MessageSegments.ByteCount);
        var place = (int)(word >> PlaceShift) - 1;
        header = new SegmentHeader(
            (Operation)(*(int*)(slot + OperationOffset)),
            *(uint*)(slot + TagOffset),
            _received,
            *(long*)(slot + MessageByteCountOffset),
            new OperationDetail(*(uint*)(slot + DetailOffset)));
        payload = place == PayloadBoard.Nowhere ? new ReadOnlySpan<byte>(slot + PayloadOffset(byteCount), byteCount)
            : _board is not null && place < PayloadBoard.PlaceCount ? new ReadOnlySpan<byte>(_board + PayloadBoard.PlaceOffset(place), byteCount)
            : default; // no place of a board that this rank reads; the length that is due is another
        return true;
    }

    /// <summary>Waits for the next segment, without receiving it; of the receiver.</summary>
    public bool WaitForArrival(RunningOperation operation)
    {
        var number = (ulong*)Slot(_received);
        if (Volatile.Read(ref *number) > _received)
        {
            return true;
        }

        var started = Stopwatch.GetTimestamp();
        var isThere = WaitFor(number, _received + 1, ReceiverParked, operation);
        Interlocked.Add(ref _waitedTicks, Stopwatch.GetElapsedTime(started).Ticks);
        return isThere;
    }

    /// <summary>Gives the slot of the last received segment back; of the receiver.</summary>
    public void Release()
    {
        Volatile.Write(ref *Consumed, ++_received);

        // A sender parks only at a full ring, and then every slot that it gets is worth a look; else its word stays in nobody's way.
        WakeIfParked(SenderParked);
    }

    /// <summary>Ends this process's waits, now and from now on; of any thread.</summary>
    public void Close()
    {
        _isClosed = true;
        WakeIfParked(ReceiverParked);
        WakeIfParked(SenderParked);
    }

    private static int PayloadOffset(int byteCount) => byteCount <= LongPayloadOffset - ShortPayloadOffset ? ShortPayloadOffset : LongPayloadOffset;

    private static void WakeIfParked(uint* parked)
    {
        Interlocked.MemoryBarrier();
        if (Volatile.Read(ref *parked) != 0)
        {
            Volatile.Write(ref *parked, 0);
            AddressWait.Wake(parked);
        }
    }

    private byte* Slot(ulong number) => start + ControlByteCount + ((long)(number % SlotCount) * SlotByteCount);

    private bool WaitForRoom(RunningOperation operation)
    {
        var enough = _sent - SlotCount + 1;
        if (!WaitFor(Consumed, enough, SenderParked, operation))
        {
            return false;
        }

        // It is the peer's word, which may say anything: more than was sent, or less than a moment ago.
        _knownConsumed = Math.Clamp(Volatile.Read(ref *Consumed), enough, _sent);
        return true;
    }

    // Returns whether the word reached the value before the limit or the close.
    private bool WaitFor(ulong* word, ulong value, uint* parked, RunningOperation operation)
    {
        for (var i = 0; i < SpinCount; i++)
        {
            if (Volatile.Read(ref *word) >= value)
            {
                return true;
            }

            Thread.SpinWait(1);
        }

        var now = Stopwatch.GetTimestamp();
        for (var waited = 0L; !_isClosed && waited < YieldTicks;)
        {
            if (Volatile.Read(ref *word) >= value)
            {
                return true;
            }

            Thread.Yield();
            var before = now;
            now = Stopwatch.GetTimestamp();
            waited += Math.Min(now - before, LongestTurnTicks);
        }

        return Park(word, value, parked, operation);
    }

    private bool Park(ulong* word, ulong value, uint* parked, RunningOperation operation)
    {
        while (true)
        {
            // The close is looked at first: what was sent before it is in the ring by then.
            var isOver = _isClosed || operation.Remaining == TimeSpan.Zero;
            Volatile.Write(ref *parked, 1);
            Interlocked.MemoryBarrier();
            var isThere = Volatile.Read(ref *word) >= value;
            if (isThere || isOver || _isClosed)
            {
                Volatile.Write(ref *parked, 0);
                return isThere || Volatile.Read(ref *word) >= value;
            }

            var remaining = operation.Remaining;
            AddressWait.Park(parked, 1, remaining < ParkLimit ? remaining + TimeSpan.FromTicks(1) : ParkLimit);
        }
    }
}
