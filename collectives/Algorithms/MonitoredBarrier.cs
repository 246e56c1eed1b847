using Distributed.Collectives.Transports;

namespace Distributed.Collectives.Algorithms;

/// <summary>
/// Every rank reports to rank 0, which waits for all of them, whoever is late, and then lets them go: two steps. Unlike the direct
/// barrier it knows, when the time runs out, exactly which ranks have not come.
/// </summary>
internal static class MonitoredBarrier
{
    /// <summary>Returns on every rank when all have reported, and on rank 0 the missing ones if not all do in time.</summary>
    public static IReadOnlyList<int> Run(PeerMesh mesh)
    {
        if (mesh.Rank != 0)
        {
            mesh[0].Send([], 0);
            mesh[0].Receive([], 0);
            return [];
        }

        List<int> missing = [.. Enumerable.Range(1, mesh.WorldSize - 1).Where(rank => !mesh[rank].WaitForArrival())];
        for (var rank = 1; missing.Count == 0 && rank < mesh.WorldSize; rank++)
        {
            mesh[rank].Receive([], 0);
            mesh[rank].Send([], 0);
        }

        return missing;
    }
}
