using Distributed.Launcher.Jobs;
using Distributed.Launcher.Placement;

namespace Distributed.Launcher.CommandLine;

/// <summary>What the user asked for, checked.</summary>
internal sealed record LaunchOptions
{
    /// <summary>Ranks to start on this node.</summary>
    public required int LocalWorldSize { get; init; }

    /// <summary>The program that each rank runs.</summary>
    public required WorkerProgram Program { get; init; }

    /// <summary>ROLE_NAME.</summary>
    public required string Role { get; init; }

    /// <summary>TORCHELASTIC_RUN_ID.</summary>
    public required string RunId { get; init; }

    /// <summary>The nodes, and how they meet.</summary>
    public required NodeOptions Nodes { get; init; }

    /// <summary>MASTER_ADDR of a job of one node.</summary>
    public required string MasterAddress { get; init; }

    /// <summary>MASTER_PORT of a job of one node; 0 for a free one.</summary>
    public required int MasterPort { get; init; }

    /// <summary>Whether every rank has local rank 0 and a GPU of its own.</summary>
    public bool VirtualLocalRank { get; init; }

    /// <summary>[local rank][], the CPUs of each rank; <see langword="null"/> where they share all.</summary>
    public IReadOnlyList<int[]>? Cpus { get; init; }

    /// <summary>The ranks as a grid; <see langword="null"/> where none was given.</summary>
    public RankMesh? Mesh { get; init; }

    /// <summary>Whether to print what would be started, and start nothing.</summary>
    public bool DryRun { get; init; }

    /// <summary>Whether to do without what only this system has.</summary>
    public bool PlainPlatform { get; init; }

    /// <summary>When a group that has failed is started again.</summary>
    public required RestartLimits Restarts { get; init; }

    /// <summary>How long ranks wait for one that does nothing until that is said; zero for never.</summary>
    public required TimeSpan HangPatience { get; init; }

    /// <summary>From the first signal to SIGKILL.</summary>
    public required TimeSpan ShutdownTimeout { get; init; }

    /// <summary>The signals that end the job.</summary>
    public required IReadOnlyList<int> SignalsToHandle { get; init; }

    /// <summary>Where the output goes.</summary>
    public required LogOptions Logs { get; init; }

    /// <summary>What is not wrong in the options and yet worth a sentence.</summary>
    public IReadOnlyList<string> Notes { get; init; } = [];
}
