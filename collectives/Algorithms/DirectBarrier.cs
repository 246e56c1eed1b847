using Distributed.Collectives.Transports;

namespace Distributed.Collectives.Algorithms;

/// <summary>Every rank sends an empty message to all others and waits for theirs: whoever returns knows that all have arrived.</summary>
internal static class DirectBarrier
{
    public static void Run(PeerMesh mesh)
    {
        new OutgoingMessage(mesh, []).SendAll();
        for (var peer = 0; peer < mesh.WorldSize; peer++)
        {
            if (peer != mesh.Rank)
            {
                mesh[peer].Receive([], 0);
            }
        }
    }
}
