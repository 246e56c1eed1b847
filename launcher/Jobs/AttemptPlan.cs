using Distributed.Launcher.Output;

namespace Distributed.Launcher.Jobs;

/// <summary>What the ranks of this node are started with in one attempt.</summary>
/// <param name="RestartCount">The number of the attempt, 0 for the first; the epoch of all that its ranks exchange.</param>
/// <param name="Placement">Where the ranks stand.</param>
/// <param name="Logs">Where their files go.</param>
/// <param name="Output">Where what they write goes.</param>
internal sealed record AttemptPlan(int RestartCount, RankPlacement Placement, AttemptLogs Logs, AttemptOutput Output)
{
    /// <summary>
    /// What the ranks share, for programs that take an envelope. Its making is not waited for before the first rank is prepared:
    /// cryptography is the slowest part of the framework to load.
    /// </summary>
    public Task<JobIdentity>? Identity { get; init; }

    /// <summary>Where the ranks' store listens, for programs that take an envelope and are not alone.</summary>
    public string? StoreAddress { get; init; }

    /// <summary>By local rank, the ranks of the attempt before that are still running and join this one.</summary>
    public IReadOnlyDictionary<int, Worker> Outliving { get; init; } = new Dictionary<int, Worker>();
}
