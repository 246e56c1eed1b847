using System.Globalization;
using Distributed.Launcher.CommandLine;

namespace Distributed.Launcher.Schedulers;

/// <summary>
/// Options that the user left out and that follow from the job of another launcher that this distrun is part of. They stand where the PET_
/// variables stand, below those that the user has set.
/// </summary>
internal sealed class AdoptedOptions
{
    private readonly Dictionary<string, string> _values = new(StringComparer.Ordinal);
    private readonly OuterJob? _job;

    private AdoptedOptions(OuterJob? job) => _job = job;

    /// <summary>One sentence that says what was adopted; <see langword="null"/> where nothing was.</summary>
    public string? Note { get; private set; }

    /// <summary>Looks around for such a job.</summary>
    /// <param name="given">Looks up the value of an option on the command line.</param>
    /// <param name="environment">Looks up an environment variable.</param>
    /// <param name="hostsFile">The lines of /etc/hosts.</param>
    /// <param name="problems">Receives what keeps the job from being understood.</param>
    public static AdoptedOptions Read(
        Func<LauncherOption, string?> given, Func<string, string?> environment, Func<IEnumerable<string>> hostsFile, List<string> problems)
    {
        string? Said(LauncherOption option) => given(option) ?? (environment(option.Variable) is { Length: > 0 } value ? value : null);

        // A program of a distrun's that starts another one has the outer job's variables, and is no part of it; nor is a job file. One node is
        // asked for by name.
        if (environment("DISTRUN_RUNTIME_DIR") is { Length: > 0 } || given(LauncherOption.Emit) is not null || given(LauncherOption.Standalone) is not null
            || environment(LauncherOption.Standalone.Variable) is { Length: > 0 } || Said(LauncherOption.Nnodes) == "1")
        {
            return new AdoptedOptions(null);
        }

        try
        {
            var job = OuterJob.Find(environment, hostsFile);
            var adopted = new AdoptedOptions(job is { NodeCount: null } && Said(LauncherOption.Nnodes) is null ? null : job);
            adopted.Adopt(Said, problems);
            return adopted;
        }
        catch (FormatException exception)
        {
            problems.Add(exception.Message);
            return new AdoptedOptions(null);
        }
    }

    /// <summary>The value of an option's variable; <see langword="null"/> where none was adopted.</summary>
    public string? ValueOf(string variable) => _values.GetValueOrDefault(variable);

    /// <summary>Refuses the commonest mistake: the other launcher starts as many distruns on a host as each of them starts ranks.</summary>
    public void RequireOneOfBoth(int localWorldSize, List<string> problems)
    {
        if (_job is { LocalCount: > 1 and var count } && localWorldSize > 1)
        {
            problems.Add(string.Create(
                CultureInfo.InvariantCulture,
                $"{_job.Launcher} has started {count} distruns on this node, and each would start {localWorldSize} ranks, {count * (long)localWorldSize} in all; "
                + $"start one a node ({_job.OneAHost}), or leave --nproc-per-node out."));
        }
    }

    private void Adopt(Func<LauncherOption, string?> said, List<string> problems)
    {
        if (_job is not { } job)
        {
            return;
        }

        Set(LauncherOption.Nnodes, job.NodeCount);
        Set(LauncherOption.NodeRank, job.NodeRank);
        Set(LauncherOption.RdzvId, job.RunId);
        var backend = said(LauncherOption.RdzvBackend)?.ToLowerInvariant();
        var isGiven = said(LauncherOption.RdzvEndpoint) is not null || (backend is null or "static" && said(LauncherOption.MasterAddr) is not null);
        if (!isGiven && backend is null or "static" or "c10d")
        {
            if (job.FirstHost is null)
            {
                problems.Add($"{job.Launcher} does not say on which host rank 0 is; name it with {(backend == "c10d" ? "--rdzv-endpoint HOST:PORT" : "--master-addr HOST")}.");
            }
            else if (backend == "c10d")
            {
                Set(LauncherOption.RdzvEndpoint, string.Create(CultureInfo.InvariantCulture, $"{job.FirstHost}:{job.Port}"));
            }
            else
            {
                Set(LauncherOption.MasterAddr, job.FirstHost);
                Set(LauncherOption.MasterPort, job.Port);
            }
        }

        var options = _values.Select(pair => $"--{pair.Key[4..].ToLowerInvariant().Replace('_', '-')} {pair.Value}");
        Note = _values.Count == 0 ? null : $"inside {job.Launcher}: {string.Join(' ', options)} (write --standalone to run on this node alone).";

        void Set(LauncherOption option, object? value)
        {
            if (value is not null && said(option) is null)
            {
                _values[option.Variable] = string.Create(CultureInfo.InvariantCulture, $"{value}");
            }
        }
    }
}
