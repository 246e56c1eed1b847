using Grpc.Wire;

namespace Distributed.Rpc.Tests.Wire;

public sealed class DeadlineTimerTests
{
    [Fact]
    public async Task Start_DeadlineAhead_CallsBackNotBefore()
    {
        var passed = new TaskCompletionSource<DateTime>(TaskCreationOptions.RunContinuationsAsynchronously);
        var deadline = DateTime.UtcNow.AddMilliseconds(50);
        using var timer = new DeadlineTimer(deadline, () => passed.TrySetResult(DateTime.UtcNow));
        timer.Start();

        Assert.True(await passed.Task.DefaultTimeout() >= deadline);
    }

    [Fact]
    public void Start_DeadlineBehind_CallsBackAtOnce()
    {
        var passed = false;
        using var timer = new DeadlineTimer(DateTime.UtcNow.AddSeconds(-1), () => passed = true);
        timer.Start();

        Assert.True(passed);
    }

    [Fact]
    public void Start_DeadlineYearsAhead_Waits()
    {
        using var timer = new DeadlineTimer(DateTime.UtcNow.AddYears(3000), () => Assert.Fail("too early"));
        timer.Start();
    }
}
