using System.Globalization;
using Distributed.Collectives.Launching;
using Distributed.Launcher.Jobs;
using Distributed.Launcher.Processes;

namespace Distributed.Launcher.Tests.Jobs;

/// <summary>The decisions of a teardown, with no process and no clock.</summary>
public sealed class SupervisorTests
{
    private static readonly SupervisorLimits Limits = new(Grace: Seconds(30), Settle: Seconds(0.25), KillWait: Seconds(5));
    private readonly List<(int Rank, int Signal)> _sent = []; // without the SIGCONT that follows each
    private readonly HashSet<int> _dead = []; // ranks of whose death the supervisor has not been told yet

    [Fact]
    public void AllSucceed_NobodyIsSignalled()
    {
        var supervisor = Supervise(2);
        supervisor.OnExit(Exit(1, 0), Seconds(1));
        Assert.False(supervisor.IsDone);
        Assert.Null(supervisor.NextTime);
        supervisor.OnExit(Exit(0, 0), Seconds(9));
        Assert.True(supervisor.IsDone);
        Assert.Empty(_sent);
    }

    [Fact]
    public void Failure_TermsTheOthersThenKills()
    {
        var supervisor = Supervise(3);
        supervisor.OnExit(Exit(1, 7), Seconds(10));
        Assert.Equal([(0, Signals.Terminate), (2, Signals.Terminate)], _sent);
        Assert.Equal(Seconds(40), supervisor.NextTime);
        supervisor.OnExit(Killed(0, Signals.Terminate), Seconds(11));
        supervisor.OnTime(Seconds(39.9));
        Assert.Equal(2, _sent.Count);
        supervisor.OnTime(Seconds(40));
        Assert.Equal((2, Signals.Kill), _sent[^1]);
        supervisor.OnExit(Killed(2, Signals.Kill), Seconds(40.1));
        Assert.True(supervisor.IsDone);
        Assert.Equal([0, 2], supervisor.Collateral.Order());
    }

    [Fact]
    public void Failure_OfAnotherRank_SparesThoseThatOutliveIt()
    {
        var supervisor = Supervise(3, outliving: [0]);
        supervisor.OnExit(Exit(1, 7), Seconds(10));
        Assert.Equal([(2, Signals.Terminate)], _sent);
        supervisor.OnTime(Seconds(40));
        Assert.Equal([(2, Signals.Terminate), (2, Signals.Kill)], _sent);
        supervisor.OnExit(Killed(2, Signals.Kill), Seconds(40.1));
        Assert.True(supervisor.IsDone);
        Assert.Equal([0], supervisor.Spared);
        Assert.Null(supervisor.NextTime);
    }

    [Fact]
    public void Failure_OfOneThatWouldOutliveOthers_EndsAll()
    {
        var supervisor = Supervise(2, outliving: [0]);
        supervisor.OnExit(Exit(0, 7), Seconds(10));
        Assert.Equal([(1, Signals.Terminate)], _sent);
        Assert.Empty(supervisor.Spared);
    }

    [Fact]
    public void Signal_WhileOthersAreEnded_EndsTheSparedToo()
    {
        var supervisor = Supervise(3, outliving: [0]);
        supervisor.OnExit(Exit(1, 7), Seconds(10));
        supervisor.OnSignal(Signals.Interrupt, Seconds(11));
        Assert.Equal((0, Signals.Interrupt), _sent[1]);
        Assert.Empty(supervisor.Spared);
        supervisor.OnExit(Exit(0, 0), Seconds(12));
        Assert.False(supervisor.IsDone);
        supervisor.OnExit(Killed(2, Signals.Interrupt), Seconds(12));
        Assert.True(supervisor.IsDone);
        Assert.Null(supervisor.StoppedBySignal); // the failure came first
    }

    [Fact]
    public void Spared_DiesWhileOthersAreEnded_IsNoneAnyMore()
    {
        var supervisor = Supervise(3, outliving: [0]);
        supervisor.OnExit(Exit(1, 7), Seconds(10));
        supervisor.OnExit(Exit(0, 3), Seconds(11));
        supervisor.OnExit(Killed(2, Signals.Terminate), Seconds(12));
        Assert.True(supervisor.IsDone);
        Assert.Empty(supervisor.Spared);
    }

    [Fact]
    public void Unkillable_IsLeftBehindAfterABoundedWait()
    {
        var supervisor = Supervise(2);
        supervisor.OnExit(Exit(0, 1), Seconds(0));
        supervisor.OnTime(Seconds(30));
        Assert.Equal(Seconds(35), supervisor.NextTime);
        supervisor.OnTime(Seconds(35));
        Assert.True(supervisor.IsDone);
        Assert.Equal([1], supervisor.Alive);
    }

    [Fact]
    public void Signal_IsPassedOnOnceThenKills()
    {
        var supervisor = Supervise(2);
        supervisor.OnSignal(Signals.Interrupt, Seconds(1));
        Assert.Equal([(0, Signals.Interrupt), (1, Signals.Interrupt)], _sent);
        supervisor.OnSignal(Signals.Interrupt, Seconds(2));
        Assert.Equal([(0, Signals.Kill), (1, Signals.Kill)], _sent[2..]);
        Assert.Equal(Signals.Interrupt, supervisor.StoppedBySignal);
        supervisor.OnSignal(Signals.Interrupt, Seconds(3));
        Assert.Equal(Seconds(7), supervisor.NextTime); // impatience does not prolong the wait
    }

    [Fact]
    public void Signal_AfterAFailure_KillsAndKeepsTheFailureAsTheCause()
    {
        var supervisor = Supervise(2);
        supervisor.OnExit(Exit(0, 1), Seconds(0));
        supervisor.OnSignal(Signals.Interrupt, Seconds(1));
        Assert.Equal((1, Signals.Kill), _sent[^1]);
        Assert.Null(supervisor.StoppedBySignal);
    }

    [Fact]
    public void Victim_TheRankThatItBlamesHasAMomentToDieByItself()
    {
        var supervisor = Supervise(4);
        supervisor.OnExit(Victim(0, of: 2), Seconds(0));
        Assert.Equal([(1, Signals.Terminate), (3, Signals.Terminate)], _sent);
        Assert.Equal(Seconds(0.25), supervisor.NextTime);
        supervisor.OnExit(Killed(2, 11), Seconds(0.2));
        Assert.DoesNotContain(2, supervisor.Collateral);
        Assert.Equal(2, FailureAnalysis.Of(supervisor.Exits, supervisor.Collateral)!.RootCause.Rank);
    }

    [Fact]
    public void Victim_TheRankThatItBlamesLivesOn_IsStoppedAfterTheMoment()
    {
        var supervisor = Supervise(2);
        supervisor.OnExit(Victim(0, of: 1), Seconds(0));
        Assert.Empty(_sent);
        supervisor.OnTime(Seconds(0.25));
        Assert.Equal([(1, Signals.Terminate)], _sent);
        Assert.Equal(Seconds(30), supervisor.NextTime);
        supervisor.OnExit(Killed(1, Signals.Terminate), Seconds(0.3));
        Assert.Equal(0, FailureAnalysis.Of(supervisor.Exits, supervisor.Collateral)!.RootCause.Rank);
    }

    /// <summary>Without a name every living rank may be the cause; the first that fails by itself ends the wait for the rest.</summary>
    [Fact]
    public void Victim_BlamesNobody_AllAreLeftAloneUntilOneFailsByItself()
    {
        var supervisor = Supervise(3);
        supervisor.OnExit(Exit(0, ExitCodes.GroupFailed), Seconds(0));
        Assert.Empty(_sent);
        supervisor.OnExit(Exit(2, 1), Seconds(0.1));
        Assert.Equal([(1, Signals.Terminate)], _sent);
        Assert.Equal(2, FailureAnalysis.Of(supervisor.Exits, supervisor.Collateral)!.RootCause.Rank);
    }

    [Theory]
    [InlineData(Signals.Terminate, 0)]
    [InlineData(0, 1)] // it says why, which is a consequence
    [InlineData(0, 0)]
    public void Loss_OfARankThatLivesOn_EndsItAndIsItsFailure(int signal, int exitCode)
    {
        var supervisor = Supervise(4, outliving: [0]);
        supervisor.OnLoss(Lost(1), Seconds(1));
        Assert.Equal([(2, Signals.Terminate), (3, Signals.Terminate)], _sent);
        supervisor.OnTime(Seconds(1.25));
        Assert.Equal((1, Signals.Terminate), _sent[^1]);
        supervisor.OnExit(Killed(2, Signals.Terminate), Seconds(1.3));
        supervisor.OnExit(new RankExit(1, 101, new ChildEnd(exitCode, signal), DateTimeOffset.UnixEpoch, exitCode == 0 ? null : new ErrorRecord("aborted", null, null, 1)), Seconds(1.4));
        supervisor.OnExit(Killed(3, Signals.Terminate), Seconds(1.5));

        Assert.True(supervisor.IsDone);
        Assert.Equal([0], supervisor.Spared);
        var analysis = FailureAnalysis.Of(supervisor.Exits, supervisor.Collateral)!;
        Assert.Equal((1, "silent"), (analysis.RootCause.Rank, analysis.RootCause.Error!.Message));
        Assert.Equal([2, 3], analysis.Collateral.Select(exit => exit.Rank));
        Assert.Empty(analysis.Others);
    }

    [Fact]
    public void Loss_OfARankWhoseDeathIsToldAMomentLater_IsThatDeath()
    {
        var supervisor = Supervise(3, outliving: [0]);
        supervisor.OnLoss(Lost(1), Seconds(1));
        supervisor.OnExit(Killed(1, Signals.Kill), Seconds(1.1));
        supervisor.OnExit(Killed(2, Signals.Terminate), Seconds(1.2));
        var analysis = FailureAnalysis.Of(supervisor.Exits, supervisor.Collateral)!;
        Assert.Equal((1, Signals.Kill, null), (analysis.RootCause.Rank, analysis.RootCause.End.Signal, analysis.RootCause.Error));
    }

    [Theory]
    [InlineData(null)]
    [InlineData(7)] // not a rank that runs
    public void Loss_OfNobodyInParticular_EndsAllButTheOneThatToldIt(int? blamed)
    {
        var supervisor = Supervise(3, outliving: [0]);
        supervisor.OnLoss(Lost(blamed), Seconds(1));
        supervisor.OnTime(Seconds(1.25));
        Assert.Equal([(1, Signals.Terminate), (2, Signals.Terminate)], _sent);
        supervisor.OnExit(Killed(2, Signals.Terminate), Seconds(1.3));
        supervisor.OnExit(Killed(1, Signals.Terminate), Seconds(1.4));
        Assert.Equal((2, "silent"), (FailureAnalysis.Of(supervisor.Exits, supervisor.Collateral)!.RootCause.Rank, FailureAnalysis.Of(supervisor.Exits, supervisor.Collateral)!.RootCause.Error!.Message));
    }

    [Fact]
    public void Loss_AfterADeath_ChangesNothing()
    {
        var supervisor = Supervise(3, outliving: [0]);
        supervisor.OnExit(Exit(2, 7), Seconds(1));
        supervisor.OnLoss(Lost(1), Seconds(1.1));
        supervisor.OnExit(Killed(1, Signals.Terminate), Seconds(1.2));
        Assert.Equal(2, FailureAnalysis.Of(supervisor.Exits, supervisor.Collateral)!.RootCause.Rank);
    }

    [Fact]
    public void Rank_ThatWasDeadBeforeTheSignal_FailedByItself()
    {
        var supervisor = Supervise(2);
        _dead.Add(1);
        supervisor.OnExit(Exit(0, 1), Seconds(0));
        supervisor.OnExit(Exit(1, 3), Seconds(0));
        Assert.Empty(supervisor.Collateral);
        Assert.Equal([1], FailureAnalysis.Of(supervisor.Exits, supervisor.Collateral)!.Others.Select(exit => exit.Rank));
    }

    [Theory]
    [InlineData(0, Signals.Terminate, true)]
    [InlineData(0, 11, false)] // it crashed
    [InlineData(0, Signals.Kill, false)] // not by us: SIGTERM is all that it was sent
    [InlineData(1, 0, true)] // a handler's choice
    [InlineData(0, 0, true)]
    public void Rank_EndsAfterTheSignal_IsCollateralIfThatExplainsIt(int exitCode, int signal, bool isCollateral)
    {
        var supervisor = Supervise(2);
        supervisor.OnExit(Exit(0, 1), Seconds(0));
        supervisor.OnExit(new RankExit(1, 101, new ChildEnd(exitCode, signal), DateTimeOffset.UnixEpoch), Seconds(1));
        Assert.Equal(isCollateral, supervisor.Collateral.Contains(1));
    }

    [Fact]
    public void Rank_EndsAfterTheSignalButWroteWhy_FailedByItself()
    {
        var supervisor = Supervise(2);
        supervisor.OnExit(Exit(0, 1), Seconds(0));
        supervisor.OnExit(Exit(1, 1) with { Error = new ErrorRecord("IOException: disk full", null, null, null) }, Seconds(1));
        Assert.Empty(supervisor.Collateral);
    }

    [Fact]
    public void Grace_OfNothing_KillsAtOnce()
    {
        var supervisor = Supervise(2, Limits with { Grace = TimeSpan.Zero });
        supervisor.OnExit(Exit(0, 1), Seconds(1));
        supervisor.OnTime(Seconds(1));
        Assert.Equal([(1, Signals.Terminate), (1, Signals.Kill)], _sent);
    }

    /// <summary>Deaths in their order: rank=exit code, rank!signal, rank&gt;the rank that it blames.</summary>
    [Theory]
    [InlineData("3=1 0=1", 3)]
    [InlineData("0>1 2=1 1=1", 1)] // the blamed one, not the next
    [InlineData("0>1 1>2 2!9", 2)] // the blamed one may be a victim itself
    [InlineData("0>1 1>0", 0)] // each other: the first
    [InlineData("0>1 1=0", 0)] // the blamed one only left
    [InlineData("0=75 1=75", 0)]
    [InlineData("0=75 1=75 2!11", 2)]
    [InlineData("1!9 0>1", 1)]
    public void RootCause_IsTheEarliestDeathOrWhomItBlames(string deaths, int rank)
    {
        var exits = deaths.Split(' ').Select(death => (death[1], death[0] - '0', int.Parse(death[2..], CultureInfo.InvariantCulture)) switch
        {
            ('=', var dead, var code) => Exit(dead, code),
            ('!', var dead, var signal) => Killed(dead, signal),
            (_, var dead, var blamed) => Victim(dead, blamed),
        });
        Assert.Equal(rank, FailureAnalysis.Of([.. exits], new HashSet<int>())!.RootCause.Rank);
    }

    [Fact]
    public void Analysis_WithoutAFailure_IsNone()
        => Assert.Null(FailureAnalysis.Of([Exit(0, 0), Killed(1, Signals.Terminate)], new HashSet<int> { 1 }));

    private static TimeSpan Seconds(double seconds) => TimeSpan.FromSeconds(seconds);

    private static RankExit Exit(int rank, int code) => new(rank, 100 + rank, new ChildEnd(code, 0), DateTimeOffset.UnixEpoch);

    private static RankExit Killed(int rank, int signal) => new(rank, 100 + rank, new ChildEnd(0, signal), DateTimeOffset.UnixEpoch);

    private static ErrorRecord Lost(int? rank) => new("silent", null, null, rank);

    private static RankExit Victim(int rank, int of) => Exit(rank, ExitCodes.GroupFailed) with
    {
        Error = new ErrorRecord($"PeerLostException: rank {of} is gone", null, null, of),
    };

    private Supervisor Supervise(int rankCount, SupervisorLimits? limits = null, int[]? outliving = null) => new([.. Enumerable.Range(0, rankCount)], limits ?? Limits, (rank, signal) =>
    {
        if (signal != Signals.Continue)
        {
            _sent.Add((rank, signal));
        }

        return !_dead.Contains(rank);
    }, alive => alive.Intersect(outliving ?? []).ToHashSet());
}
