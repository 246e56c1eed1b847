namespace Distributed.Collectives.Transports;

/// <summary>
/// One message for each peer on its way, sent a few segments ahead of what has been received, as <see cref="OutgoingMessage"/> does.
/// </summary>
/// <param name="mesh">The peers.</param>
/// <param name="all">[rank, byte]; a segment is free for reuse as soon as it has been sent.</param>
/// <param name="parts">The cut of <paramref name="all"/>.</param>
internal ref struct OutgoingParts(PeerMesh mesh, ReadOnlySpan<byte> all, MessageParts parts)
{
    private readonly ReadOnlySpan<byte> _all = all;
    private int _next;

    /// <summary>Sends all segments.</summary>
    public void SendAll() => SendTo(parts.SegmentCount);

    /// <summary>Sends what has to be on its way before segment <paramref name="segment"/> of any part is received.</summary>
    public void SendAheadOf(int segment) => SendTo(Math.Min(parts.SegmentCount, segment + OutgoingMessage.Window));

    private void SendTo(int end)
    {
        for (; _next < end; _next++)
        {
            for (var step = 1; step < mesh.WorldSize; step++)
            {
                var peer = (mesh.Rank + step) % mesh.WorldSize;
                var (start, partByteCount) = parts[peer];
                var segments = new MessageSegments(partByteCount);
                if (_next < segments.Count)
                {
                    var (offset, length) = segments[_next];
                    mesh[peer].Send(_all.Slice(start + offset, length), partByteCount);
                }
            }
        }
    }
}
