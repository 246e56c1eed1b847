namespace Distributed.Collectives.Transports.SharedMemory;

/// <summary>
/// What a rank sends to several peers of its host at once: payloads that it writes once and that each of them reads where they lie. The segments themselves go through the rings of the
/// pairs, as all do, and say by its number in which <em>place</em> of the sender's board their payload is. Besides the copies this saves the ways between cores: a line that one peer has
/// read is in a cache that others share.
/// </summary>
/// <param name="start">The memory of the places, <see cref="ByteCount"/> bytes.</param>
internal sealed unsafe class PayloadBoard(byte* start)
{
    /// <summary>The number of places.</summary>
    public const int PlaceCount = 16;

    /// <summary>The size of a board.</summary>
    public const long ByteCount = PlaceCount * (long)MessageSegments.ByteCount;

    /// <summary>The place of what is on no board.</summary>
    public const int Nowhere = -1;

    // [place]: the segments that say that their payload is there.
    private readonly List<(SegmentRing Ring, ulong Number)>[] _users = [.. Enumerable.Range(0, PlaceCount).Select(_ => new List<(SegmentRing, ulong)>())];
    private int _next;

    /// <summary>
    /// Writes a payload that the next segment of each of some rings is going to have. It never waits: where a peer may still read what lay there before, however long ago, the payload goes
    /// with each segment instead, so a board makes nobody wait for a peer that it would not have waited for without.
    /// </summary>
    /// <param name="payload">[byte], at most <see cref="MessageSegments.ByteCount"/>.</param>
    /// <param name="rings">To the peers that it is for, all of which read this board.</param>
    /// <returns>Its place, or <see cref="Nowhere"/>.</returns>
    public int TryPut(ReadOnlySpan<byte> payload, ReadOnlySpan<SegmentRing> rings)
    {
        var users = _users[_next];
        foreach (var (ring, number) in users)
        {
            if (!ring.IsConsumed(number))
            {
                return Nowhere;
            }
        }

        users.Clear();
        foreach (var ring in rings)
        {
            users.Add((ring, ring.NextNumber));
        }

        payload.CopyTo(new Span<byte>(start + PlaceOffset(_next), MessageSegments.ByteCount));
        var place = _next;
        _next = (_next + 1) % PlaceCount;
        return place;
    }

    /// <summary>Where a place begins, from the start of a board.</summary>
    public static long PlaceOffset(int place) => place * (long)MessageSegments.ByteCount;
}
