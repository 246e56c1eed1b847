namespace Distributed.Launcher.Jobs;

/// <summary>Who is to blame for the end of a job.</summary>
/// <param name="RootCause">The rank whose failure came first, or the one that the first victims blame.</param>
/// <param name="Others">The other ranks that failed by themselves, in rank order.</param>
/// <param name="Collateral">The ranks that the launcher ended for that, in rank order.</param>
internal sealed record FailureAnalysis(RankExit RootCause, IReadOnlyList<RankExit> Others, IReadOnlyList<RankExit> Collateral)
{
    /// <summary>Sorts the ends of a job's ranks; <see langword="null"/> where none failed.</summary>
    /// <param name="exits">In the order in which the ranks died.</param>
    /// <param name="collateral">The ranks that ended because the launcher told them to.</param>
    /// <remarks>
    /// The earliest death is the root cause, or the rank that was ended because one that lives on has lost it, with one exception: a victim's connection may break, and the victim be gone, before the kernel
    /// has reported the death that broke it. So a victim yields to the rank that it blames if that one failed too, and a victim that blames
    /// nobody to the first failure that is none.
    /// </remarks>
    public static FailureAnalysis? Of(IReadOnlyList<RankExit> exits, IReadOnlySet<int> collateral)
    {
        RankExit[] failures = [.. exits.Where(exit => exit.IsGivenUp || (!exit.End.IsSuccess && !collateral.Contains(exit.Rank)))];
        if (failures.Length == 0)
        {
            return null;
        }

        var root = failures.FirstOrDefault(failure => failure.IsGivenUp) ?? failures[0];
        HashSet<int> seen = [];
        while (root.IsVictim && seen.Add(root.Rank))
        {
            var blamed = root.Error?.VictimOfRank;
            var cause = blamed is null
                ? failures.FirstOrDefault(failure => !failure.IsVictim)
                : failures.FirstOrDefault(failure => failure.Rank == blamed);
            root = cause ?? root;
        }

        return new FailureAnalysis(
            root,
            [.. failures.Where(failure => failure != root).OrderBy(failure => failure.Rank)],
            [.. exits.Where(exit => collateral.Contains(exit.Rank)).OrderBy(exit => exit.Rank)]);
    }
}
