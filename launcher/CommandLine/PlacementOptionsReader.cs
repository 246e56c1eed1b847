using Distributed.Launcher.Placement;

namespace Distributed.Launcher.CommandLine;

/// <summary>Reads the options that say how the ranks lie over the world and over this machine.</summary>
/// <param name="values">The options.</param>
/// <param name="notes">Receives what is not wrong and yet worth a sentence.</param>
internal sealed class PlacementOptionsReader(OptionValues values, List<string> notes)
{
    /// <summary>The mesh, which has to fill the world; <see langword="null"/> where none is given, or it does not.</summary>
    public RankMesh? Mesh(NodeOptions nodes, int localWorldSize)
    {
        var option = LauncherOption.Mesh;
        if (values.Text(option) is not { } text)
        {
            return null;
        }

        var source = $"{values.Source(option)} {text}";
        var (mesh, problem) = RankMesh.Parse(text);
        if (mesh is null)
        {
            values.Report($"{source} {problem}; write {option.ValueName}, say.");
            return null;
        }

        var worldSize = (long)nodes.MaxNodes * localWorldSize;
        if (nodes.MinNodes != nodes.MaxNodes)
        {
            values.Report($"{source} needs a world of one size, and --nnodes {nodes.MinNodes}:{nodes.MaxNodes} has several; write one number of nodes.");
        }
        else if (mesh.Size != worldSize)
        {
            values.Report($"{source} has {mesh.Size} ranks, and there are {worldSize} ({nodes.MaxNodes} nodes x {localWorldSize}); make them equal.");
        }
        else if (localWorldSize % mesh.InnermostSize != 0 && mesh.InnermostSize > 1 && nodes.MaxNodes > 1)
        {
            notes.Add($"{source}: groups of the last dimension cross nodes, because {mesh.InnermostSize} does not divide the {localWorldSize} ranks of a node.");
        }

        return mesh;
    }

    /// <summary>[local rank][], the CPUs of each rank; <see langword="null"/> where no binding is asked for, or it cannot be.</summary>
    public IReadOnlyList<int[]>? Cpus(int localWorldSize, bool virtualLocalRank)
    {
        var option = LauncherOption.NumaBinding;
        if (values.Text(option) is null)
        {
            return null;
        }

        var mode = values.Choice(option, "node", "node", "socket", "exclusive", "core-complex") switch
        {
            "socket" => CpuBindingMode.Socket,
            "exclusive" => CpuBindingMode.Exclusive,
            "core-complex" => CpuBindingMode.CoreComplex,
            _ => CpuBindingMode.Node,
        };
        if (!OperatingSystem.IsLinux() || values.Flag(LauncherOption.PlainPlatform))
        {
            values.Report($"{values.Source(option)} needs Linux, whose /sys describes the CPUs; leave it out.");
            return null;
        }

        var topology = CpuTopology.Read();
        var (cpus, problem) = CpuBinding.Bind(topology, mode, localWorldSize, GpusOfRanks(topology, localWorldSize));
        if (problem is not null)
        {
            values.Report($"{values.Source(option)} {problem}; start fewer ranks, or choose node.");
        }
        else if (virtualLocalRank && topology.GpuNodes.Count == 0)
        {
            notes.Add($"{values.Source(option)}: no NVIDIA GPU is known here, so ranks are spread over the NUMA nodes.");
        }

        return cpus;
    }

    /// <summary>[local rank], the GPU of each, where the machine has one for each.</summary>
    private int[] GpusOfRanks(CpuTopology topology, int localWorldSize)
    {
        var variable = values.Variable(Gpus.VisibleDevices);
        var gpus = (variable ?? string.Join(',', Enumerable.Range(0, topology.GpuNodes.Count))).Split(',', StringSplitOptions.TrimEntries)
            .Select(entry => OptionValues.TryParse(entry, out var number) ? number : -1).TakeWhile(number => number >= 0).ToArray();
        return gpus.Length >= localWorldSize ? gpus : [];
    }
}
