using Distributed.Collectives.Algorithms;
using Distributed.Collectives.Transports;
using Distributed.Collectives.Transports.Memory;

namespace Distributed.Collectives;

/// <summary>A whole job inside one process: its ranks are threads, for tests of anything that uses a <see cref="ProcessGroup"/>.</summary>
public static class InMemoryWorld
{
    /// <summary>Makes the groups of all ranks, connected with each other.</summary>
    /// <param name="worldSize">The number of ranks, at least 1.</param>
    /// <returns>[rank]; each to be used, and disposed, by one thread of its own.</returns>
    public static ProcessGroup[] Create(int worldSize) => Create(worldSize, hosts: null, WireFormat.Exact);

    /// <summary>Makes groups whose ranks believe that they are on several hosts.</summary>
    /// <param name="worldSize">The number of ranks, at least 1.</param>
    /// <param name="hosts">[rank], equal for ranks of one host; <see langword="null"/> for one.</param>
    /// <param name="wire">How sums travel between hosts.</param>
    internal static ProcessGroup[] Create(int worldSize, int[]? hosts, WireFormat wire)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(worldSize, 1);
        if (worldSize == 1)
        {
            return [new SingleProcessGroup()];
        }

        var operations = Enumerable.Range(0, worldSize).Select(rank => new RunningOperation(rank)).ToArray();
        var failures = Array.ConvertAll(operations, operation => new GroupFailure(operation));
        var transports = Array.ConvertAll(operations, _ => new List<PeerTransport>());
        for (var low = 0; low < worldSize; low++)
        {
            for (var high = low + 1; high < worldSize; high++)
            {
                var (toHigh, toLow) = InMemoryTransport.Connect(low, failures[low], high, failures[high]);
                transports[low].Add(toHigh);
                transports[high].Add(toLow);
            }
        }

        return [.. operations.Select(operation => new PeerProcessGroup(
            operation, failures[operation.Rank], [.. transports[operation.Rank]], $"in-memory, {worldSize} ranks as threads of this process",
            hosts is null ? null : HostMap.Of(hosts), wire))];
    }
}
