using System.Globalization;

namespace Distributed.Launcher.Schedulers;

/// <summary>A job step of Slurm: what srun tells its tasks (srun(1), OUTPUT ENVIRONMENT VARIABLES).</summary>
internal static class SlurmStep
{
    private const string TasksPerNode = "SLURM_STEP_TASKS_PER_NODE";

    /// <summary>The step; <see langword="null"/> outside of one, and in one of a single task. A batch script is none: it runs on one node alone.</summary>
    public static OuterJob? Of(OuterJob.Variables variables)
    {
        if (variables.Text("SLURM_STEP_NODELIST") is not { } nodes || variables.Number("SLURM_PROCID", 0) is not { } rank
            || variables.Number("SLURM_STEP_NUM_TASKS", 1) is not (> 1 and var count))
        {
            return null;
        }

        var jobId = variables.Text("SLURM_JOB_ID") ?? "0";
        return new OuterJob
        {
            Launcher = $"srun (Slurm job {jobId})",
            NodeRank = rank,
            NodeCount = count,
            LocalCount = TasksOf(variables.Text(TasksPerNode), variables.Number("SLURM_NODEID", 0) ?? 0) ?? 1,
            FirstHost = FirstOf("SLURM_STEP_NODELIST", nodes),
            Port = OuterJob.PortOf(uint.TryParse(jobId, NumberStyles.None, CultureInfo.InvariantCulture, out var number) ? number : 0),
            RunId = $"slurm-{jobId}.{variables.Text("SLURM_STEP_ID") ?? "0"}",
            OneAHost = "srun --ntasks-per-node=1",
        };
    }

    /// <summary>The first host of a list; what mpirun inside a Slurm job goes by too.</summary>
    public static string FirstOf(string name, string nodes)
    {
        try
        {
            return HostList.Expand(nodes) is [var first, ..] ? first : throw new FormatException("it is empty");
        }
        catch (FormatException exception)
        {
            throw new FormatException($"{name}={nodes} is no list of hosts: {exception.Message}; name the first node with --master-addr.", exception);
        }
    }

    /// <summary>The tasks of one node, from a list of counts with repetitions: <c>2(x3),1</c>.</summary>
    internal static int? TasksOf(string? counts, int node)
    {
        foreach (var part in (counts ?? "").Split(','))
        {
            var open = part.IndexOf("(x", StringComparison.Ordinal);
            var repetitions = open < 0 ? "1" : part[(open + 2)..].TrimEnd(')');
            if (!int.TryParse(open < 0 ? part : part[..open], NumberStyles.None, CultureInfo.InvariantCulture, out var count)
                || !int.TryParse(repetitions, NumberStyles.None, CultureInfo.InvariantCulture, out var nodes))
            {
                return null;
            }

            if (node < nodes)
            {
                return count;
            }

            node -= nodes;
        }

        return null;
    }
}
