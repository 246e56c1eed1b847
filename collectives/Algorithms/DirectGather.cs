using Distributed.Collectives.Transports;

namespace Distributed.Collectives.Algorithms;

/// <summary>Every rank sends its part to the root, which takes them rank by rank: one step, part sent by each, (P - 1) x part received.</summary>
internal static class DirectGather
{
    /// <summary>Collects the [byte] parts in the root's <paramref name="all"/> [rank, byte].</summary>
    public static void Run(PeerMesh mesh, ReadOnlySpan<byte> part, Span<byte> all, int root)
    {
        if (mesh.Rank != root)
        {
            PointToPoint.Send(mesh[root], part);
            return;
        }

        for (var rank = 0; rank < mesh.WorldSize; rank++)
        {
            var place = all.Slice(rank * part.Length, part.Length);
            if (rank == root)
            {
                part.CopyTo(place);
            }
            else
            {
                PointToPoint.Receive(mesh[rank], place);
            }
        }
    }
}
