using System.Collections;
using System.Globalization;
using Distributed.Collectives.Launching;

namespace Distributed.Launcher.Jobs;

/// <summary>The environment of a rank: the launcher's own, torchrun's variables over it, and the defaults that torchrun sets.</summary>
internal sealed class WorkerEnvironment
{
    private const string OmpThreads = "OMP_NUM_THREADS";
    private const string NcclErrors = "TORCH_NCCL_ASYNC_ERROR_HANDLING";

    private readonly Dictionary<string, string> _inherited;

    public WorkerEnvironment(IDictionary inherited)
    {
        _inherited = new Dictionary<string, string>(inherited.Count, StringComparer.Ordinal);
        foreach (DictionaryEntry variable in inherited)
        {
            _inherited[(string)variable.Key] = (string?)variable.Value ?? "";
        }
    }

    /// <summary>
    /// Shares the cores out: <c>OMP_NUM_THREADS</c> = cores / ranks where several ranks would else start a thread for every core each.
    /// torchrun sets 1, which leaves most of the machine idle.
    /// </summary>
    /// <returns>The number that was chosen; <see langword="null"/> where the user has chosen, or there is one rank.</returns>
    public int? ShareCores(int coreCount, int localWorldSize)
    {
        if (localWorldSize == 1 || _inherited.ContainsKey(OmpThreads))
        {
            return null;
        }

        var threads = Math.Max(1, coreCount / localWorldSize);
        _inherited[OmpThreads] = threads.ToString(CultureInfo.InvariantCulture);
        return threads;
    }

    /// <summary>All variables of one rank.</summary>
    public Dictionary<string, string> Of(RankEnvironment rank)
    {
        var variables = new Dictionary<string, string>(_inherited, StringComparer.Ordinal);
        foreach (var (name, value) in rank.ToVariables())
        {
            variables[name] = value;
        }

        variables.TryAdd(NcclErrors, "1");
        return variables;
    }

    /// <summary>The variables of the run in which the bundled worker checks its input: a world size, and no rank.</summary>
    public Dictionary<string, string> OfPreflight(int worldSize, string jobDirectory)
    {
        var variables = new Dictionary<string, string>(_inherited, StringComparer.Ordinal)
        {
            ["DISTRUN_PREFLIGHT"] = "1",
            ["WORLD_SIZE"] = worldSize.ToString(CultureInfo.InvariantCulture),
            ["DISTRUN_RUNTIME_DIR"] = jobDirectory,
        };
        variables.Remove("RANK");
        return variables;
    }
}
