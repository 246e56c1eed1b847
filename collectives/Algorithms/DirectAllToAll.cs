using Distributed.Collectives.Transports;

namespace Distributed.Collectives.Algorithms;

/// <summary>Every rank sends each other one its part: one step, (P - 1) x part sent by each of P ranks.</summary>
internal static class DirectAllToAll
{
    /// <summary>Part i of <paramref name="sent"/> goes to rank i, and part i of <paramref name="received"/> comes from it.</summary>
    public static void Run(PeerMesh mesh, ReadOnlySpan<byte> sent, Span<byte> received, MessageParts parts)
    {
        var (start, length) = parts[mesh.Rank];
        sent.Slice(start, length).CopyTo(received[start..]);
        var outgoing = new OutgoingParts(mesh, sent, parts);
        for (var index = 0; index < parts.SegmentCount; index++)
        {
            outgoing.SendAheadOf(index);
            parts.ReceiveSegment(mesh, index, received);
        }
    }
}
