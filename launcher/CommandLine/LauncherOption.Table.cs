namespace Distributed.Launcher.CommandLine;

/// <summary>All of torchrun's options, and ours.</summary>
internal sealed partial record LauncherOption
{
    public static readonly LauncherOption NprocPerNode = new(
        "--nproc-per-node", "N", "Ranks on this node: a number, auto, cpu or gpu. Default 1.");

    public static readonly LauncherOption Role = new(
        "--role", "NAME", "Role of the ranks, for ROLE_NAME and the prefix. Default default.");

    public static readonly LauncherOption VirtualLocalRank = new(
        "--virtual-local-rank", null, "LOCAL_RANK=0 for every rank, and one GPU each in CUDA_VISIBLE_DEVICES.");

    public static readonly LauncherOption Mesh = new(
        "--mesh", "pp=2,tp=4", "The ranks as a grid, the last dimension fastest: sets PP_RANK, PP_SIZE, TP_RANK, TP_SIZE.");

    public static readonly LauncherOption NumaBinding = new(
        "--numa-binding", "MODE", "Bind ranks to CPUs (Linux): node, socket, exclusive (own cores) or core-complex (one cache).");

    public static readonly LauncherOption DryRun = new("--dry-run", null, "Print what would be started, and start nothing.");

    public static readonly LauncherOption PlainPlatform = new(
        "--plain-platform", null, "Do without the system's own calls (pidfd, futex, ...), as where there are none; for tests.");

    public static readonly LauncherOption Module = new(
        "--module", null, "The program is a Python module, run with python3 -m.", Alias: "-m");

    public static readonly LauncherOption NoPython = new("--no-python", null, "Execute the program itself, whatever its name ends with.");

    public static readonly LauncherOption RunPath = new(
        "--run-path", null, "The program is a Python script, whatever its name ends with; run with python3.");

    public static readonly LauncherOption StartMethod = new(
        "--start-method", "METHOD", "Accepted and not needed (spawn, fork, forkserver): ranks are always programs of their own.");

    public static readonly LauncherOption Nnodes = new("--nnodes", "N[:N]", "Nodes, or the least and the most of them. Default 1.");

    public static readonly LauncherOption NodeRank = new("--node-rank", "N", "Rank of this node among the nodes. Default 0 with the static backend.");

    public static readonly LauncherOption RdzvBackend = new(
        "--rdzv-backend", "NAME", "How nodes meet: static, c10d or etcd. Default static; one node needs none.");

    public static readonly LauncherOption RdzvEndpoint = new("--rdzv-endpoint", "HOST:PORT", "Where they meet; [address]:port for IPv6.");

    public static readonly LauncherOption RdzvId = new("--rdzv-id", "ID", "Name of the run, for TORCHELASTIC_RUN_ID. Default none.");

    public static readonly LauncherOption RdzvConf = new("--rdzv-conf", "K=V,K=V", "Further settings of the backend, such as join_timeout=600.");

    public static readonly LauncherOption Standalone = new(
        "--standalone", null, "One node with a port and a run id of its own, whatever else is given.");

    public static readonly LauncherOption MasterAddr = new("--master-addr", "HOST", "MASTER_ADDR of the ranks. Default 127.0.0.1.");

    public static readonly LauncherOption MasterPort = new("--master-port", "PORT", "MASTER_PORT of the ranks. Default 0, a free one.");

    public static readonly LauncherOption LocalAddr = new(
        "--local-addr", "HOST", "What the others call this node, used as given; MASTER_ADDR where --master-addr is not given.");

    public static readonly LauncherOption Emit = new(
        "--emit", "KIND", "Print the job file that runs this command on a cluster (sbatch, jobset), and start nothing.");

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

    public static readonly LauncherOption ShutdownTimeout = new(
        "--shutdown-timeout", "SECONDS", "What ranks get between SIGTERM and SIGKILL. Default 30.");

    public static readonly LauncherOption HangTimeout = new(
        "--hang-timeout", "SECONDS", "When ranks wait for one that does nothing, say so after this. Default 5; 0 for never.");

    public static readonly LauncherOption SignalsToHandle = new(
        "--signals-to-handle", "NAMES", "Signals that end the job. Default SIGTERM,SIGINT,SIGHUP,SIGQUIT.");

    public static readonly LauncherOption MonitorInterval = new(
        "--monitor-interval", "SECONDS", "Accepted and not needed: a rank's end is an event, noticed at once, not polled for.");

    public static readonly LauncherOption LogDir = new(
        "--log-dir", "FOLDER", "Keep the ranks' stdout.log, stderr.log and error.json there; /dev/null for none.");

    public static readonly LauncherOption Redirects = new(
        "--redirects", "SPEC", "Streams that go to their file only: 0 none, 1 stdout, 2 stderr, 3 both, or 0:1,12:3.", Alias: "-r");

    public static readonly LauncherOption Tee = new(
        "--tee", "SPEC", "Streams that go to their file and the console; as above.", Alias: "-t");

    public static readonly LauncherOption LocalRanksFilter = new(
        "--local-ranks-filter", "N,N", "Show only these local ranks on the console.");

    public static readonly LauncherOption DuplicateStdoutFilters = new(
        "--duplicate-stdout-filters", "A,B", "Copy lines of stdout with one of these texts to filtered_stdout.log (,, is a comma).");

    public static readonly LauncherOption DuplicateStderrFilters = new(
        "--duplicate-stderr-filters", "A,B", "Copy lines of stderr with one of these texts to filtered_stderr.log.");

    public static readonly LauncherOption LogMaxSize = new(
        "--log-max-size", "SIZE", "Largest size of one log file (64M, say): then it becomes stdout.log.1. Default 0, no limit.");

    public static readonly LauncherOption LogLinePrefixTemplate = new(
        "--log-line-prefix-template",
        "TEXT",
        "Prefix of a rank's lines: ${role_name} ${local_rank} ${rank} ${host}. Default \"[rank${rank}]: \".");

    public static readonly LauncherOption Color = new(
        "--color", "WHEN", "Colour the prefixes: auto (on a terminal), always, never. Default auto.");

    public static readonly LauncherOption Fold = new(
        "--fold", null, "Show a line that several ranks write within 0.2 s once: [rank0-7]: ...");

    public static readonly LauncherOption LogsSpecs = new(
        "--logs-specs", "NAME", "A class of torchrun's plugins; here only default.");

    public static readonly LauncherOption EventLogHandler = new(
        "--event-log-handler", "NAME", "What happens to events: null (nothing), console (a line of JSON each on stderr).");

    public static readonly LauncherOption EventLog = new("--event-log", "FILE", "Append events to this file, a line of JSON each.");

    /// <summary>All of them, as --help groups them.</summary>
    public static readonly IReadOnlyList<(string Title, IReadOnlyList<LauncherOption> Options)> Groups =
    [
        ("Program and ranks", [NprocPerNode, Role, VirtualLocalRank, Mesh, NumaBinding, Module, NoPython, RunPath, StartMethod, DryRun, PlainPlatform]),
        ("Nodes", [Nnodes, NodeRank, RdzvBackend, RdzvEndpoint, RdzvId, RdzvConf, Standalone, MasterAddr, MasterPort, LocalAddr, Emit]),
        ("Failures",
        [
            MaxRestarts, MaxRestartsWindow, MinUptime, RestartBackoff, NoRestartExitCodes, ShutdownTimeout, HangTimeout,
            SignalsToHandle, MonitorInterval,
        ]),
        ("Output",
        [
            LogDir, Redirects, Tee, LocalRanksFilter, DuplicateStdoutFilters, DuplicateStderrFilters, LogMaxSize, LogLinePrefixTemplate,
            Color, Fold, LogsSpecs, EventLogHandler, EventLog,
        ]),
    ];
}
