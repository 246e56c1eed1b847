using Distributed.Launcher.Processes;
using Distributed.Launcher.Reporting;

namespace Distributed.Launcher.Jobs;

/// <summary>How one attempt ended on this node. With none of its causes set, every rank succeeded.</summary>
internal sealed record AttemptOutcome
{
    /// <summary>The signal to the launcher that ended it.</summary>
    public int? StoppedBySignal { get; init; }

    /// <summary>Why not all ranks could be started.</summary>
    public StartException? StartFailure { get; init; }

    /// <summary>Why the launcher itself could not go on, a sentence.</summary>
    public string? LauncherFailure { get; init; }

    /// <summary>The ends of the ranks, in the order in which they died.</summary>
    public IReadOnlyList<RankExit> Exits { get; init; } = [];

    /// <summary>The ranks that ended because the launcher told them to.</summary>
    public IReadOnlySet<int> Collateral { get; init; } = new HashSet<int>();

    /// <summary>Which rank failed first, and the others.</summary>
    public FailureAnalysis? Failure { get; init; }

    /// <summary>What the report says about the ranks that failed.</summary>
    public IReadOnlyDictionary<int, RankDetails> Details { get; init; } = new Dictionary<int, RankDetails>();

    /// <summary>The error file of the rank that failed first, where it may have one.</summary>
    public string? ErrorFile { get; init; }

    /// <summary>From the start of the last rank to the first failure.</summary>
    public TimeSpan Uptime { get; init; }

    /// <summary>Processes that the ranks left and that outlived SIGKILL.</summary>
    public IReadOnlyList<int> Orphans { get; init; } = [];

    /// <summary>Whether nothing of it is left that may hold what the next attempt needs.</summary>
    public bool IsClean { get; init; }

    /// <summary>The ranks that still run, to join the next attempt.</summary>
    public IReadOnlyList<Worker> Outliving { get; init; } = [];

    /// <summary>Who waited for whom when it ended, if ranks did.</summary>
    public string? Hang { get; init; }
}
