namespace Distributed.Launcher.Tests.Rendezvous;

/// <summary>A rank fails on one of several nodes.</summary>
public sealed class NodeFailureTests
{
    // L10, 46, 60, L14
    [NodesFact]
    public async Task RankFails_OnOneNode_EndsTheOtherWithTheSameRootCause()
    {
        using var world = new NodeWorld(2);
        var (first, second) = await NodeLaunches.Run(
            world, "a", "b", NodeLaunches.C10d(world, 2, "sh", "-c", "test $RANK = 1 || exec sleep 60; sleep 0.3; echo the reason >&2; exit 7"));

        Assert.Equal((7, 7), (first.ExitCode, second.ExitCode));
        Assert.Contains("distrun: rank 1 on b failed first", first.Error, StringComparison.Ordinal);
        Assert.Equal(NodeLaunches.RootCause(second), NodeLaunches.RootCause(first));
        Assert.Contains("host      : b", NodeLaunches.RootCause(first), StringComparison.Ordinal);
        Assert.Contains("stderr    : the reason", NodeLaunches.RootCause(first), StringComparison.Ordinal);
        await world.Distrun.AssertNothingIsLeft();
    }

    // 61, 67
    [NodesFact]
    public async Task RankFails_WithRestarts_StartsBothNodesAgain()
    {
        using var world = new NodeWorld(2);
        var (first, second) = await NodeLaunches.Run(
            world, "a", "b", NodeLaunches.C10d(world, 2, "--max-restarts", "1", "--min-uptime", "0", "--restart-backoff", "0", "sh", "-c",
            "echo attempt $TORCHELASTIC_RESTART_COUNT of $RANK; test $TORCHELASTIC_RESTART_COUNT = 1 && exit 0; test $RANK = 1 && exit 7; exec sleep 60"));

        Assert.Equal((0, 0), (first.ExitCode, second.ExitCode));
        Assert.Equal(["[rank0]: attempt 0 of 0", "[rank0]: attempt 1 of 0"], first.OutputLines);
        Assert.Contains("the group starts again (restart 1 of 1)", first.Error, StringComparison.Ordinal);
    }

    // 58: who has waited long enough for the others has succeeded all the same.
    [NodesFact]
    public async Task Ranks_OfOneNodeSucceedLongBeforeTheOthers_BothSucceed()
    {
        using var world = new NodeWorld(2);
        string[] arguments = [.. NodeLaunches.C10d(world, 2, "sh", "-c", "test $RANK = 0 || sleep 3")
            .Select(argument => argument.StartsWith("last_call_timeout=", StringComparison.Ordinal) ? argument + ",exit_barrier_timeout=0.2" : argument)];
        var (first, second) = await NodeLaunches.Run(world, "a", "b", arguments);

        Assert.Equal((0, 0), (first.ExitCode, second.ExitCode));
        Assert.Contains("the ranks of this node have succeeded; other nodes still run, and are not waited for any longer.", first.Error, StringComparison.Ordinal);
    }
}
