namespace Distributed.Collectives.Transports;

/// <summary>
/// One message on its way to all peers, sent a few segments ahead of what has been received from them, so that the wire is busy while this
/// rank sums, and yet no rank runs so far ahead of another that mailboxes fill up on both sides.
/// </summary>
/// <param name="mesh">The peers.</param>
/// <param name="message">[byte]; a segment is free for reuse as soon as it has been sent.</param>
internal ref struct OutgoingMessage(PeerMesh mesh, ReadOnlySpan<byte> message)
{
    /// <summary>How many segments are sent before the first one has to be received.</summary>
    public const int Window = 4;

    private readonly ReadOnlySpan<byte> _message = message;
    private readonly MessageSegments _segments = new(message.Length);
    private int _next;

    /// <summary>The cut of the message.</summary>
    public readonly MessageSegments Segments => _segments;

    /// <summary>Sends all segments.</summary>
    public void SendAll() => SendTo(_segments.Count);

    /// <summary>Sends what has to be on its way before segment <paramref name="segment"/> is received.</summary>
    public void SendAheadOf(int segment) => SendTo(Math.Min(_segments.Count, segment + Window));

    private void SendTo(int end)
    {
        for (; _next < end; _next++)
        {
            var (offset, length) = _segments[_next];
            mesh.SendToAll(_message.Slice(offset, length), _message.Length);
        }
    }
}
