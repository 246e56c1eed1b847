using Distributed.Collectives.Transports;

namespace Distributed.Collectives.Algorithms;

/// <summary>Every rank sends its part to all others: one step, (P - 1) x part sent by each of P ranks.</summary>
internal static class DirectAllGather
{
    /// <summary>Completes [rank, byte], where each rank has its own part in place.</summary>
    public static void Run(PeerMesh mesh, Span<byte> all, MessageParts parts)
    {
        var (start, length) = parts[mesh.Rank];
        var outgoing = new OutgoingMessage(mesh, all.Slice(start, length));
        for (var index = 0; index < parts.SegmentCount; index++)
        {
            outgoing.SendAheadOf(index);
            parts.ReceiveSegment(mesh, index, all);
        }
    }
}
