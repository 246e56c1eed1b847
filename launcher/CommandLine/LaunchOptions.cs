using Distributed.Launcher.Jobs;

namespace Distributed.Launcher.CommandLine;

/// <summary>What the user asked for, checked.</summary>
internal sealed record LaunchOptions
{
    /// <summary>Ranks to start.</summary>
    public required int LocalWorldSize { get; init; }

    /// <summary>The program that each rank runs.</summary>
    public required WorkerProgram Program { get; init; }

    /// <summary>ROLE_NAME.</summary>
    public required string Role { get; init; }

    /// <summary>TORCHELASTIC_RUN_ID.</summary>
    public required string RunId { get; init; }

    /// <summary>MASTER_ADDR.</summary>
    public required string MasterAddress { get; init; }

    /// <summary>MASTER_PORT; 0 for a free one.</summary>
    public required int MasterPort { get; init; }

    /// <summary>
    /// Where error files are kept: a folder, <c>/dev/null</c> for nowhere; <see langword="null"/> for as long as the job runs.
    /// </summary>
    public string? LogDirectory { get; init; }

    /// <summary>Template of the prefix of a rank's lines; <see langword="null"/> for the default one.</summary>
    public string? PrefixTemplate { get; init; }

    /// <summary>When a group that has failed is started again.</summary>
    public required RestartLimits Restarts { get; init; }

    /// <summary>How long ranks wait for one that does nothing until that is said; zero for never.</summary>
    public required TimeSpan HangPatience { get; init; }

    /// <summary>From SIGTERM to SIGKILL.</summary>
    public required TimeSpan ShutdownTimeout { get; init; }
}
