using Distributed.Collectives.Transports;

namespace Distributed.Collectives.Algorithms;

/// <summary>Every rank sends its part to all others: one step, (P - 1) x part sent by each of P ranks.</summary>
internal static class DirectAllGather
{
    /// <summary>Collects the [byte] parts in <paramref name="all"/> [rank, byte].</summary>
    public static void Run(PeerMesh mesh, ReadOnlySpan<byte> part, Span<byte> all)
    {
        part.CopyTo(all.Slice(mesh.Rank * part.Length, part.Length));
        var outgoing = new OutgoingMessage(mesh, part);
        for (var index = 0; index < outgoing.Segments.Count; index++)
        {
            outgoing.SendAheadOf(index);
            var (offset, length) = outgoing.Segments[index];
            for (var peer = 0; peer < mesh.WorldSize; peer++)
            {
                if (peer != mesh.Rank)
                {
                    mesh[peer].Receive(all.Slice((peer * part.Length) + offset, length), part.Length);
                }
            }
        }
    }
}
