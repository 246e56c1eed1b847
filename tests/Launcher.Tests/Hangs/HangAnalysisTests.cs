using System.Diagnostics;
using Distributed.Collectives.Launching;
using Distributed.Launcher.Hangs;

namespace Distributed.Launcher.Tests.Hangs;

public sealed class HangAnalysisTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(5);
    private static readonly long Now = 1000 * Stopwatch.Frequency;

    [Fact]
    public void Of_OneIdleRankBehind_NamesItAndWhoWaitsWhere()
    {
        var hang = HangAnalysis.Of([Waits(0, 812, 6.1), Computes(1, 811, idle: 5.5), Waits(2, 812, 5.2)], Patience, Now);
        Assert.Equal("ranks 0, 2 wait in all-reduce #812 since 6.1 s; rank 1 is still between #811 and #812 and has done nothing for 5.5 s (pid 101)", hang?.Text);
    }

    [Fact]
    public void Of_RankThatWorks_IsNoHang()
        => Assert.Null(HangAnalysis.Of([Waits(0, 812, 600), Computes(1, 811, idle: 0)], Patience, Now));

    [Fact]
    public void Of_OneOfTwoBehindWorks_IsNoHang()
        => Assert.Null(HangAnalysis.Of([Waits(0, 812, 60), Computes(1, 811, idle: 50), Computes(2, 811, idle: 0.5)], Patience, Now));

    [Fact]
    public void Of_NobodyWaitsLongEnough_IsNoHang()
        => Assert.Null(HangAnalysis.Of([Waits(0, 812, 4.9), Computes(1, 811, idle: 60)], Patience, Now));

    /// <summary>All are in one operation: a large one on a slow network takes its time.</summary>
    [Fact]
    public void Of_AllInTheSameOperation_IsNoHang()
        => Assert.Null(HangAnalysis.Of([Waits(0, 812, 60), Waits(1, 812, 60)], Patience, Now));

    /// <summary>Followers of an idle leader wait for the next command for as long as its user thinks.</summary>
    [Fact]
    public void Of_RanksThatAwaitWork_IsNoHang()
        => Assert.Null(HangAnalysis.Of([Computes(0, 811, idle: 60), At(1, ProgressPhase.AwaitingWork, 812, 60, 60)], Patience, Now));

    [Fact]
    public void Of_RankThatDoesNotSay_IsLeftOut()
        => Assert.Null(HangAnalysis.Of([Waits(0, 812, 60), new RankProgress(1, 101, null, default, TimeSpan.FromSeconds(60))], Patience, Now));

    [Fact]
    public void Of_RankThatHasLeft_IsLeftOut()
    {
        var hang = HangAnalysis.Of([Waits(0, 812, 6), At(1, ProgressPhase.Left, 3, 60, 60), Computes(2, 811, idle: 6)], Patience, Now);
        Assert.StartsWith("rank 0 waits in all-reduce #812 since 6.0 s; rank 2 is still", hang?.Text, StringComparison.Ordinal);
    }

    /// <summary>It lost what it waits for, and the others have gone on.</summary>
    [Fact]
    public void Of_RankInAnEarlierOperation_IsBehind()
    {
        var hang = HangAnalysis.Of([Waits(0, 812, 6), Waits(1, 811, 6.5, idle: 6)], Patience, Now);
        Assert.Equal("rank 0 waits in all-reduce #812 since 6.0 s; rank 1 is still in all-reduce #811 and has done nothing for 6.0 s (pid 101)", hang?.Text);
    }

    [Fact]
    public void Of_SeveralBehind_AreTold()
    {
        RankProgress[] ranks = [.. Enumerable.Range(0, 6).Select(rank => Waits(rank, 1, 5)), Computes(6, 0, idle: 5), At(7, ProgressPhase.Joining, 0, 9, 6)];
        Assert.Equal(
            "ranks 0-5 wait in all-reduce #1 since 5.0 s; rank 6 is still between #0 and #1 and has done nothing for 5.0 s (pid 106); "
            + "rank 7 is still joining the group and has done nothing for 6.0 s (pid 107)",
            HangAnalysis.Of(ranks, Patience, Now)?.Text);
    }

    [Fact]
    public void Of_StoppedRank_IsToldBeforeAnybodyHasWaitedLong()
    {
        var hang = HangAnalysis.Of([Waits(0, 812, 2.5), Waits(1, 812, 2.5) with { StoppedFor = TimeSpan.FromSeconds(2) }], Patience, Now);
        Assert.Equal("rank 0 waits in all-reduce #812 since 2.5 s; rank 1 is still in all-reduce #812 and is stopped by a signal; kill -CONT 101 lets it go on", hang?.Text);
    }

    [Fact]
    public void Of_StoppedRankOfAProgramThatDoesNotSay_IsTold()
    {
        var stopped = new RankProgress(1, 101, null, TimeSpan.FromSeconds(2), TimeSpan.FromSeconds(2));
        Assert.Equal("rank 1 is stopped by a signal; kill -CONT 101 lets it go on", HangAnalysis.Of([stopped with { Rank = 0, StoppedFor = default }, stopped], Patience, Now)?.Text);
    }

    /// <summary>The user has stopped the job, and knows it.</summary>
    [Fact]
    public void Of_AllStopped_IsNoHang()
    {
        RankProgress[] ranks = [.. Enumerable.Range(0, 2).Select(rank => Waits(rank, 1, 9) with { StoppedFor = TimeSpan.FromSeconds(9) })];
        Assert.Null(HangAnalysis.Of(ranks, Patience, Now));
    }

    [Fact]
    public void Of_SameHangLater_HasTheSameKey()
    {
        RankProgress[] ranks = [Waits(0, 812, 6), Computes(1, 811, idle: 6)];
        var first = HangAnalysis.Of(ranks, Patience, Now)!;
        var later = HangAnalysis.Of(ranks, Patience, Now + Stopwatch.Frequency)!;
        Assert.Equal(first.Key, later.Key);
        Assert.NotEqual(first.Text, later.Text);
    }

    /// <summary>Ranks of pipeline stages have done different numbers of operations: who waits for nobody and does nothing hangs.</summary>
    [Theory]
    [InlineData(900)]
    [InlineData(700)]
    public void Of_RanksWithSubgroups_GoByWhoWaitsForNobody(long sequence)
    {
        var hang = HangAnalysis.Of([Staged(Waits(0, 812, 6.1)), Staged(Computes(1, sequence, idle: 5.5)), Staged(Waits(2, 850, 5.2))], Patience, Now);
        Assert.Equal(
            $"rank 0 waits in all-reduce #812 since 6.1 s; rank 2 waits in all-reduce #850 since 5.2 s; rank 1 is still between #{sequence} and #{sequence + 1} "
            + "and has done nothing for 5.5 s (pid 101)",
            hang?.Text);
        Assert.Null(HangAnalysis.Of([Staged(Waits(0, 812, 60)), Staged(Computes(1, sequence, idle: 60)), Staged(Computes(2, 811, idle: 0))], Patience, Now));
        Assert.Null(HangAnalysis.Of([Staged(Waits(0, 812, 60)), Staged(At(1, ProgressPhase.AwaitingWork, sequence, 60, 60))], Patience, Now));
    }

    private static RankProgress Staged(RankProgress rank) => rank with { Page = rank.Page!.Value with { HasSubgroups = true } };

    private static RankProgress Waits(int rank, long sequence, double seconds, double idle = 0)
        => At(rank, ProgressPhase.InOperation, sequence, seconds, idle);

    private static RankProgress Computes(int rank, long sequence, double idle) => At(rank, ProgressPhase.BetweenOperations, sequence, 30, idle);

    private static RankProgress At(int rank, ProgressPhase phase, long sequence, double secondsAgo, double idle)
        => new(
            rank,
            100 + rank,
            new ProgressSnapshot(phase, sequence, Now - (long)(secondsAgo * Stopwatch.Frequency), "all-reduce", 0, 100 + rank),
            TimeSpan.Zero,
            TimeSpan.FromSeconds(idle));
}
