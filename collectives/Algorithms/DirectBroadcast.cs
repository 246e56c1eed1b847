using Distributed.Collectives.Transports;

namespace Distributed.Collectives.Algorithms;

/// <summary>The root sends to every other rank, segment by segment: one step, (P - 1) x length sent by the root.</summary>
internal static class DirectBroadcast
{
    /// <summary>Copies the root's [byte] values to every rank.</summary>
    public static void Run(PeerMesh mesh, Span<byte> values, int root)
    {
        if (mesh.Rank == root)
        {
            new OutgoingMessage(mesh, values).SendAll();
        }
        else
        {
            PointToPoint.Receive(mesh[root], values);
        }
    }
}
