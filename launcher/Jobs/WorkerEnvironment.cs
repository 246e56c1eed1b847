using System.Collections;
using System.Globalization;
using Distributed.Collectives.Launching;

namespace Distributed.Launcher.Jobs;

/// <summary>The environment of a rank: the launcher's own, torchrun's variables over it, and the defaults that torchrun sets.</summary>
internal sealed class WorkerEnvironment
{
    private const string OmpThreads = "OMP_NUM_THREADS";
    private const string DotnetProcessors = "DOTNET_PROCESSOR_COUNT";
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
    /// Shares the cores out, where several ranks would else start a thread for every core each: <c>OMP_NUM_THREADS</c> for native code (torchrun
    /// sets 1, which leaves most of the machine idle), and for .NET the number of processors that it sees, and of the heaps of a server GC.
    /// What the user has set stays.
    /// </summary>
    /// <returns>The variables that were set, as NAME=value; <see langword="null"/> where none was.</returns>
    public string? ShareCores(int coreCount, bool isDotnet)
    {
        var count = Math.Max(1, coreCount);
        var number = count.ToString(CultureInfo.InvariantCulture);
        var set = new List<string>();
        if (isDotnet && _inherited.TryAdd(DotnetProcessors, number))
        {
            set.Add($"{DotnetProcessors}={number}");

            // Of a server GC alone; hexadecimal. Without the second, the heaps of all ranks would be bound to the same first cores.
            _inherited.TryAdd("DOTNET_GCHeapCount", count.ToString("x", CultureInfo.InvariantCulture));
            _inherited.TryAdd("DOTNET_GCNoAffinitize", "1");
        }

        if (_inherited.TryAdd(OmpThreads, number))
        {
            set.Add($"{OmpThreads}={number}");
        }

        return set.Count == 0 ? null : string.Join(", ", set);
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
