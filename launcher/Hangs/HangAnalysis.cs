using System.Diagnostics;
using System.Globalization;
using Distributed.Collectives.Launching;
using Distributed.Launcher.Output;

namespace Distributed.Launcher.Hangs;

/// <summary>A hang, explained.</summary>
/// <param name="Key">Equal for two looks at the same hang.</param>
/// <param name="Text">One sentence: who waits where, and for whom.</param>
internal sealed record Hang(string Key, string Text);

/// <summary>Finds out from one look at the ranks who waits for whom. It holds nothing and starts nothing.</summary>
/// <remarks>
/// A rank hangs if others have waited for it in a collective operation for as long as the user's patience, and for the last half of that time it
/// has neither come to another operation nor used a processor or a disk. So a rank that computes or loads for minutes does not hang,
/// whoever waits for it.
/// A stopped rank is told sooner and in any case, for it never moves by itself.
/// </remarks>
internal static class HangAnalysis
{
    /// <summary>How long a rank is stopped before that is told: somebody may just be looking at it.</summary>
    public static readonly TimeSpan StopPatience = TimeSpan.FromSeconds(2);

    /// <summary>The hang that the ranks are in; <see langword="null"/> where there is none.</summary>
    /// <param name="ranks">The running ranks of this machine.</param>
    /// <param name="patience">How long a rank may wait for an idle one.</param>
    /// <param name="now">The time, as <see cref="Stopwatch.GetTimestamp"/>.</param>
    public static Hang? Of(IReadOnlyList<RankProgress> ranks, TimeSpan patience, long now)
    {
        // A user who stops all ranks, with Ctrl-Z say, knows it.
        RankProgress[] stopped = [.. ranks.Where(rank => rank.StoppedFor >= StopPatience)];
        if (stopped.Length == ranks.Count(rank => rank.StoppedFor > TimeSpan.Zero) && stopped.Length > 0 && stopped.Length < ranks.Count)
        {
            return Explain(stopped, Waiting(ranks.Except(stopped), StopPatience, now), now);
        }

        var waiting = Waiting(ranks, patience, now);
        if (waiting.Length == 0)
        {
            return null;
        }

        RankProgress[] members = [.. ranks.Where(rank => rank.Page is { Phase: not ProgressPhase.Left })];
        if (Array.Exists(members, rank => rank.Page!.Value.HasSubgroups))
        {
            // Stages of a pipeline go different ways: nothing tells who is behind, only who waits for nobody.
            RankProgress[] free = [.. members.Where(rank => !rank.IsInOperation)];
            return free.Length > 0 && free.All(rank => rank.IdleFor >= patience / 2) ? Explain(free, waiting, now) : null;
        }

        var place = members.Min(rank => rank.Place);
        RankProgress[] behind = [.. members.Where(rank => rank.Place == place)];
        waiting = [.. waiting.Where(rank => rank.Place > place)];
        return waiting.Length > 0 && behind.All(rank => rank.IdleFor >= patience / 2) ? Explain(behind, waiting, now) : null;
    }

    private static RankProgress[] Waiting(IEnumerable<RankProgress> ranks, TimeSpan patience, long now)
        => [.. ranks.Where(rank => rank.Page is { Phase: ProgressPhase.InOperation } page && Stopwatch.GetElapsedTime(page.Since, now) >= patience)];

    private static Hang Explain(RankProgress[] behind, RankProgress[] waiting, long now)
    {
        var waits = waiting.GroupBy(rank => (rank.Page!.Value.Operation, rank.Page.Value.Sequence)).Select(ranks =>
        {
            var longest = ranks.Max(rank => Stopwatch.GetElapsedTime(rank.Page!.Value.Since, now));
            return string.Create(
                CultureInfo.InvariantCulture,
                $"{Ranks(ranks)} wait{(ranks.Count() == 1 ? "s" : "")} in {ranks.Key.Operation} #{ranks.Key.Sequence} since {longest.TotalSeconds:0.0} s");
        });
        var text = string.Join("; ", [.. waits, .. behind.GroupBy(PlaceOf).Select(Describe)]);
        var key = string.Join(';', behind.Select(rank => FormattableString.Invariant($"{rank.Rank} {rank.Place} {rank.StoppedFor > TimeSpan.Zero}")));
        return new Hang(key, text);
    }

    private static string Describe(IGrouping<string, RankProgress> ranks)
    {
        var isOne = ranks.Count() == 1;
        var pids = string.Join(' ', ranks.Select(rank => rank.ProcessId));
        var verb = isOne ? "is" : "are";
        var place = ranks.Key.Length > 0 ? $" {verb} still {ranks.Key} and" : "";
        var state = ranks.All(rank => rank.StoppedFor > TimeSpan.Zero)
            ? $" {verb} stopped by a signal; kill -CONT {pids} lets {(isOne ? "it" : "them")} go on"
            : string.Create(CultureInfo.InvariantCulture, $" {(isOne ? "has" : "have")} done nothing for {ranks.Min(rank => rank.IdleFor).TotalSeconds:0.0} s (pid {pids})");
        return Ranks(ranks) + place + state;
    }

    private static string Ranks(IEnumerable<RankProgress> ranks)
    {
        int[] sorted = [.. ranks.Select(rank => rank.Rank).Order()];
        return (sorted.Length == 1 ? "rank " : "ranks ") + RankList.Format(sorted).Replace(",", ", ", StringComparison.Ordinal);
    }

    private static string PlaceOf(RankProgress rank) => rank.Page switch
    {
        null => "",
        { Phase: ProgressPhase.Joining } => "joining the group",
        { Phase: ProgressPhase.InOperation or ProgressPhase.AwaitingWork } page => FormattableString.Invariant($"in {page.Operation} #{page.Sequence}"),
        { } page => FormattableString.Invariant($"between #{page.Sequence} and #{page.Sequence + 1}"),
    };
}
