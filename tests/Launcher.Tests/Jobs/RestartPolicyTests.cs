using Distributed.Launcher.Jobs;

namespace Distributed.Launcher.Tests.Jobs;

/// <summary>The decisions about restarts, with no process and no clock.</summary>
public sealed class RestartPolicyTests
{
    private static readonly RestartLimits Limits = new() { MaxRestarts = 2, MinUptime = Seconds(5), Backoff = Seconds(0.5) };

    [Fact]
    public void Failure_WithoutRestartsAskedFor_EndsTheJobInSilence()
        => Assert.Equal(new RestartDecision(null, null), new RestartPolicy(Limits with { MaxRestarts = 0 }).OnFailure(1, Seconds(60), Seconds(60)));

    [Fact]
    public void Failures_UpToTheBudget_AreRestartedThenNoMore()
    {
        var policy = new RestartPolicy(Limits);
        Assert.NotNull(policy.OnFailure(1, Seconds(6), Seconds(6)).Delay);
        Assert.NotNull(policy.OnFailure(1, Seconds(6), Seconds(16)).Delay);
        Assert.Equal(new RestartDecision(null, "no restart: 2 of 2 are used."), policy.OnFailure(1, Seconds(600), Seconds(1000)));
    }

    [Fact]
    public void Failure_BeforeTheGroupWasUp_IsNotRestarted()
        => Assert.Equal(
            "no restart: the group failed 4.9 s after its start, before it was up (5 s); --min-uptime 0 restarts it all the same.",
            new RestartPolicy(Limits).OnFailure(1, Seconds(4.9), Seconds(4.9)).Refusal);

    [Fact]
    public void Failure_AtOnceInAJobThatWasUpBefore_IsRestarted()
    {
        var policy = new RestartPolicy(Limits);
        Assert.NotNull(policy.OnFailure(1, Seconds(5), Seconds(5)).Delay);
        Assert.NotNull(policy.OnFailure(1, Seconds(0.1), Seconds(6)).Delay);
    }

    [Fact]
    public void Failure_AtOnceWithoutAMinimum_IsRestarted()
        => Assert.Equal(Seconds(0.5), new RestartPolicy(Limits with { MinUptime = TimeSpan.Zero }).OnFailure(1, TimeSpan.Zero, TimeSpan.Zero).Delay);

    [Fact]
    public void Backoff_DoublesUpToItsLimit_AndBeginsAnewOnceTheGroupWasUp()
    {
        var policy = new RestartPolicy(Limits with { MaxRestarts = 100 });
        Assert.Equal(Seconds(0.5), policy.OnFailure(1, Seconds(10), Seconds(0)).Delay);
        double[] expected = [1, 2, 4, 8, 16, 30, 30];
        Assert.All(expected, seconds => Assert.Equal(Seconds(seconds), policy.OnFailure(1, Seconds(1), Seconds(0)).Delay));
        Assert.Equal(Seconds(0.5), policy.OnFailure(1, Seconds(10), Seconds(0)).Delay);
    }

    [Fact]
    public void Backoff_LongerThanTheLimit_IsTheUsers()
        => Assert.Equal(Seconds(90), new RestartPolicy(Limits with { Backoff = Seconds(90) }).OnFailure(1, Seconds(10), Seconds(0)).Delay);

    [Fact]
    public void ExitCode_ThatNoRestartMends_EndsTheJob()
    {
        var policy = new RestartPolicy(Limits with { NoRestartExitCodes = [93, 2] });
        Assert.Equal("no restart: exit code 2 is one of --no-restart-exit-codes.", policy.OnFailure(2, Seconds(60), Seconds(60)).Refusal);
        Assert.NotNull(policy.OnFailure(3, Seconds(60), Seconds(60)).Delay);
    }

    [Fact]
    public void Window_ForgetsOldRestarts()
    {
        var policy = new RestartPolicy(Limits with { Window = Seconds(100) });
        Assert.NotNull(policy.OnFailure(1, Seconds(9), Seconds(0)).Delay);
        Assert.NotNull(policy.OnFailure(1, Seconds(9), Seconds(90)).Delay);
        Assert.NotNull(policy.OnFailure(1, Seconds(9), Seconds(101)).Delay);
        Assert.Equal(2, policy.Used);
        Assert.Equal("no restart: 2 of 2 are used within 100 s.", policy.OnFailure(1, Seconds(9), Seconds(190)).Refusal);
    }

    private static TimeSpan Seconds(double seconds) => TimeSpan.FromSeconds(seconds);
}
