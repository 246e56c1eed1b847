using Distributed.Collectives.Launching;
using Distributed.Launcher.Processes;

namespace Distributed.Launcher.Jobs;

/// <summary>How and when a rank ended, and what it left to say about it.</summary>
/// <param name="Rank">The global rank.</param>
/// <param name="ProcessId">Its process.</param>
/// <param name="End">Exit code or signal.</param>
/// <param name="Time">When the launcher was told.</param>
/// <param name="Error">Its error file, where there is one.</param>
/// <param name="ErrorProblem">Why its error file was not understood.</param>
internal sealed record RankExit(
    int Rank, int ProcessId, ChildEnd End, DateTimeOffset Time, ErrorRecord? Error = null, string? ErrorProblem = null)
{
    /// <summary>Its index on this node.</summary>
    public int LocalRank { get; init; } = Rank;

    /// <summary>Whether it was ended because a rank that lives on has lost it: it was stopped, hung or was cut off. <see cref="Error"/> is what that rank says.</summary>
    public bool IsGivenUp { get; init; }

    /// <summary>What in its last words says that it lost a peer; <see langword="null"/> where nothing does.</summary>
    public string? LostPeer { get; init; }

    /// <summary>Whether it failed because another rank did: it says so, or exits with the code that says so.</summary>
    public bool IsVictim => Error?.VictimOfRank is not null || End.ExitCode == ExitCodes.GroupFailed || LostPeer is not null;
}
