namespace Distributed.Launcher.Placement;

/// <summary>torchrun's choices of <c>--numa-binding</c>.</summary>
internal enum CpuBindingMode
{
    /// <summary>All CPUs of a NUMA node.</summary>
    Node,

    /// <summary>All CPUs of the package of a NUMA node.</summary>
    Socket,

    /// <summary>Whole cores of a NUMA node that no other rank has.</summary>
    Exclusive,

    /// <summary>The CPUs of a NUMA node that share one last cache.</summary>
    CoreComplex,
}

/// <summary>
/// Gives each rank of this node its CPUs. A rank belongs to the NUMA node of its GPU, where each rank has one; else the ranks are spread evenly
/// over the nodes, neighbours together.
/// </summary>
internal static class CpuBinding
{
    /// <summary>Binds the ranks.</summary>
    /// <param name="topology">The CPUs.</param>
    /// <param name="mode">How.</param>
    /// <param name="localWorldSize">The ranks.</param>
    /// <param name="gpus">[local rank], the GPU of each rank; empty where they have none.</param>
    /// <returns>[local rank][], the CPUs of each; or a clause that says why it cannot be.</returns>
    public static (IReadOnlyList<int[]>? Cpus, string? Problem) Bind(CpuTopology topology, CpuBindingMode mode, int localWorldSize, IReadOnlyList<int> gpus)
    {
        int[] nodes = [.. topology.Cpus.Select(cpu => cpu.Node).Distinct().Order()];
        var nodeOf = Enumerable.Range(0, localWorldSize)
            .Select(rank => GpuNode(topology, nodes, gpus, rank) ?? nodes[(int)((long)rank * nodes.Length / localWorldSize)])
            .ToArray();
        var bound = new int[localWorldSize][];
        foreach (var group in Enumerable.Range(0, localWorldSize).GroupBy(rank => nodeOf[rank]))
        {
            int[] ranks = [.. group];
            var cpus = topology.Cpus.Where(cpu => cpu.Node == group.Key).ToArray();
            var cores = cpus.GroupBy(cpu => cpu.Core).Select(Ids).ToArray();
            if (mode == CpuBindingMode.Exclusive && cores.Length < ranks.Length)
            {
                return (null, $"exclusive: NUMA node {group.Key} has {cores.Length} cores for {ranks.Length} ranks");
            }

            for (var index = 0; index < ranks.Length; index++)
            {
                bound[ranks[index]] = mode switch
                {
                    CpuBindingMode.Node => Ids(cpus),
                    CpuBindingMode.Socket => Ids(topology.Cpus.Where(cpu => cpu.Socket == cpus[0].Socket)),
                    CpuBindingMode.Exclusive => [.. Share(cores, index, ranks.Length).SelectMany(core => core).Order()],
                    _ => Complex(cpus, index, ranks.Length),
                };
            }
        }

        return (bound, null);
    }

    private static int? GpuNode(CpuTopology topology, int[] nodes, IReadOnlyList<int> gpus, int rank)
        => rank < gpus.Count && gpus[rank] < topology.GpuNodes.Count && nodes.Contains(topology.GpuNodes[gpus[rank]])
            ? topology.GpuNodes[gpus[rank]] : null;

    private static int[] Complex(LogicalCpu[] cpus, int index, int count)
    {
        var complexes = cpus.GroupBy(cpu => cpu.Complex).Select(Ids).ToArray();
        return complexes[count <= complexes.Length ? index * complexes.Length / count : index % complexes.Length];
    }

    /// <summary>The part of <paramref name="all"/> that is the share of one among <paramref name="count"/>.</summary>
    private static int[][] Share(int[][] all, int index, int count)
        => all[(index * all.Length / count)..((index + 1) * all.Length / count)];

    private static int[] Ids(IEnumerable<LogicalCpu> cpus) => [.. cpus.Select(cpu => cpu.Id)];
}
