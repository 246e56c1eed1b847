using Distributed.Collectives.Transports;

namespace Distributed.Collectives.Algorithms;

/// <summary>One message from one rank to another.</summary>
internal static class PointToPoint
{
    /// <summary>Sends [byte] values.</summary>
    public static void Send(PeerLink peer, ReadOnlySpan<byte> values)
    {
        var segments = new MessageSegments(values.Length);
        for (var index = 0; index < segments.Count; index++)
        {
            var (offset, length) = segments[index];
            peer.Send(values.Slice(offset, length), values.Length);
        }
    }

    /// <summary>Receives [byte] values of exactly this length.</summary>
    public static void Receive(PeerLink peer, Span<byte> values)
    {
        var segments = new MessageSegments(values.Length);
        for (var index = 0; index < segments.Count; index++)
        {
            var (offset, length) = segments[index];
            peer.Receive(values.Slice(offset, length), values.Length);
        }
    }
}
