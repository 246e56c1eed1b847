using Distributed.Collectives.Transports;

namespace Distributed.Collectives.Algorithms;

/// <summary>The root sends every other rank its part, segment by segment: one step, (P - 1) x part sent by the root.</summary>
internal static class DirectScatter
{
    /// <summary>Copies part r of the root's [rank, byte] to rank r.</summary>
    public static void Run(PeerMesh mesh, ReadOnlySpan<byte> all, Span<byte> part, int root)
    {
        if (mesh.Rank != root)
        {
            PointToPoint.Receive(mesh[root], part);
            return;
        }

        new OutgoingParts(mesh, all, new MessageParts(all.Length, part.Length)).SendAll();
        all.Slice(root * part.Length, part.Length).CopyTo(part);
    }
}
