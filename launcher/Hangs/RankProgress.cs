using Distributed.Collectives.Launching;

namespace Distributed.Launcher.Hangs;

/// <summary>What is known of a running rank at one moment.</summary>
/// <param name="Rank">The rank.</param>
/// <param name="ProcessId">Its process.</param>
/// <param name="Page">Where it is in its group; <see langword="null"/> for a program that does not say.</param>
/// <param name="StoppedFor">How long it has been stopped by a signal, zero where it is not.</param>
/// <param name="IdleFor">How long neither its page nor its process has moved.</param>
internal sealed record RankProgress(int Rank, int ProcessId, ProgressSnapshot? Page, TimeSpan StoppedFor, TimeSpan IdleFor)
{
    /// <summary>
    /// How far it is: even inside an operation, odd after it. Ranks of one group walk through the same places in the same order.
    /// </summary>
    public long Place => Page is { } page ? (2 * page.Sequence) + (IsInOperation ? 0 : 1) : -1;

    /// <summary>Whether it is in an operation that its peers have to come to.</summary>
    public bool IsInOperation => Page?.Phase is ProgressPhase.InOperation or ProgressPhase.AwaitingWork;
}
