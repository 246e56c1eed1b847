namespace Distributed.Launcher.CommandLine;

/// <summary>One option of the command line. Every name may also be written with _ for -, and has a PET_ variable for its default.</summary>
/// <param name="Name">The long name, with its dashes.</param>
/// <param name="ValueName">What its value is called in --help; <see langword="null"/> for a flag, which takes none.</param>
/// <param name="Description">One line for --help; <see langword="null"/> for an option that is refused.</param>
/// <param name="Alias">The short name, with its dash.</param>
/// <param name="Refusal">For an option of torchrun's that is not supported yet: what to do instead.</param>
internal sealed record LauncherOption(string Name, string? ValueName, string? Description, string? Alias = null, string? Refusal = null)
{
    private const string LeaveOut = "leave it out";
    private const string OneNode = "the ranks of one node meet without it, so leave it out";
    private const string OwnStreams = "send stdout and stderr of distrun itself to a file, or through tee";

    public static readonly LauncherOption NprocPerNode = new(
        "--nproc-per-node", "N", "Ranks on this node: a number, auto, cpu or gpu. Default 1.");

    public static readonly LauncherOption Nnodes = new("--nnodes", "N[:N]", "Nodes; this version runs one.");

    public static readonly LauncherOption Standalone = new(
        "--standalone", null, "One node with a port and a run id of its own, whatever else is given.");

    public static readonly LauncherOption RdzvId = new("--rdzv-id", "ID", "Name of the run, for TORCHELASTIC_RUN_ID. Default none.");

    public static readonly LauncherOption Role = new(
        "--role", "NAME", "Role of the ranks, for ROLE_NAME and the prefix. Default default.");

    public static readonly LauncherOption MasterAddr = new("--master-addr", "HOST", "MASTER_ADDR of the ranks. Default 127.0.0.1.");

    public static readonly LauncherOption MasterPort = new("--master-port", "PORT", "MASTER_PORT of the ranks. Default 0, a free one.");

    public static readonly LauncherOption NodeRank = new("--node-rank", "N", "Rank of this node; with one node 0.");

    public static readonly LauncherOption MaxRestarts = new(
        "--max-restarts", "N", "How often a failed group is started again. Default 0.");

    public static readonly LauncherOption MaxRestartsWindow = new(
        "--max-restarts-window", "SECONDS", "Count only restarts of the last so many seconds. Default 0: all of them.");

    public static readonly LauncherOption MinUptime = new(
        "--min-uptime", "SECONDS", "A group that has never run for so long is not restarted. Default 5.");

    public static readonly LauncherOption RestartBackoff = new(
        "--restart-backoff", "SECONDS", "Wait before a restart, doubled with each one that follows soon. Default 0.5.");

    public static readonly LauncherOption NoRestartExitCodes = new(
        "--no-restart-exit-codes", "N,N", "Exit codes of the first rank to fail after which there is no restart.");

    public static readonly LauncherOption MonitorInterval = new(
        "--monitor-interval", "SECONDS", "Accepted and not needed: a rank's end is an event, noticed at once, not polled for.");

    public static readonly LauncherOption StartMethod = new(
        "--start-method", "METHOD", "Accepted and not needed (spawn, fork, forkserver): ranks are always programs of their own.");

    public static readonly LauncherOption Module = new(
        "--module", null, "The program is a Python module, run with python3 -m.", Alias: "-m");

    public static readonly LauncherOption NoPython = new("--no-python", null, "Execute the program itself, whatever its name ends with.");

    public static readonly LauncherOption LogDir = new("--log-dir", "FOLDER", "Keep the ranks' error.json files there.");

    public static readonly LauncherOption LogLinePrefixTemplate = new(
        "--log-line-prefix-template",
        "TEXT",
        "Prefix of a rank's lines: ${role_name} ${local_rank} ${rank} ${host}. Default \"[rank${rank}]: \".");

    public static readonly LauncherOption HangTimeout = new(
        "--hang-timeout", "SECONDS", "When ranks wait for one that does nothing, say so after this. Default 5; 0 for never.");

    public static readonly LauncherOption ShutdownTimeout = new(
        "--shutdown-timeout", "SECONDS", "What ranks get between SIGTERM and SIGKILL. Default 30.");

    public static readonly LauncherOption RdzvBackend = Unsupported("--rdzv-backend", "BACKEND", OneNode);

    public static readonly LauncherOption RdzvEndpoint = Unsupported("--rdzv-endpoint", "HOST:PORT", OneNode);

    /// <summary>Those that are acted on, in the order of --help.</summary>
    public static readonly IReadOnlyList<LauncherOption> Supported =
    [
        NprocPerNode, Nnodes, Standalone, RdzvId, Role, MasterAddr, MasterPort, NodeRank,
        MaxRestarts, MaxRestartsWindow, MinUptime, RestartBackoff, NoRestartExitCodes, MonitorInterval, StartMethod,
        Module, NoPython, LogDir, LogLinePrefixTemplate, ShutdownTimeout, HangTimeout,
    ];

    /// <summary>The rest of torchrun's, refused with a sentence: an option that did nothing in silence would be worse.</summary>
    public static readonly IReadOnlyList<LauncherOption> Refused =
    [
        RdzvBackend,
        RdzvEndpoint,
        Unsupported("--rdzv-conf", "K=V", OneNode),
        Unsupported("--local-addr", "HOST", "use --master-addr"),
        Unsupported("--redirects", "SPEC", OwnStreams, "-r"),
        Unsupported("--tee", "SPEC", OwnStreams, "-t"),
        Unsupported("--local-ranks-filter", "RANKS", LeaveOut),
        Unsupported("--duplicate-stdout-filters", "TEXTS", LeaveOut),
        Unsupported("--duplicate-stderr-filters", "TEXTS", LeaveOut),
        Unsupported("--logs-specs", "NAME", LeaveOut),
        Unsupported("--numa-binding", "MODE", "put numactl before the program"),
        Unsupported("--signals-to-handle", "NAMES", "SIGTERM, SIGINT, SIGHUP and SIGQUIT are handled"),
        Unsupported("--event-log-handler", "NAME", LeaveOut),
        Unsupported("--run-path", null, "name the script as the program"),
        Unsupported("--virtual-local-rank", null, LeaveOut),
    ];

    /// <summary>The environment variable that holds its default.</summary>
    public string Variable { get; } = "PET_" + Name[2..].Replace('-', '_').ToUpperInvariant();

    /// <summary>The option that <paramref name="name"/> spells, in either spelling or by its short name.</summary>
    public static LauncherOption? Find(string name)
    {
        var spelled = name.StartsWith("--", StringComparison.Ordinal) ? name.Replace('_', '-') : name;
        return Find(Supported, spelled) ?? Find(Refused, spelled);
    }

    private static LauncherOption? Find(IReadOnlyList<LauncherOption> options, string name)
    {
        foreach (var option in options)
        {
            if (option.Name == name || option.Alias == name)
            {
                return option;
            }
        }

        return null;
    }

    private static LauncherOption Unsupported(string name, string? valueName, string instead, string? alias = null)
        => new(name, valueName, Description: null, alias, Refusal: instead);
}
