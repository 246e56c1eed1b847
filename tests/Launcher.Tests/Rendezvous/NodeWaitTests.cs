using System.Diagnostics;

namespace Distributed.Launcher.Tests.Rendezvous;

/// <summary>A node waits for others.</summary>
public sealed class NodeWaitTests
{
    // L15
    [NodesFact]
    public async Task Sigterm_WhileWaiting_FreesTheSeatAtOnce()
    {
        using var world = new NodeWorld(4);
        var arguments = NodeLaunches.C10d(world, 3, "sh", "-c", "echo $GROUP_RANK of $GROUP_WORLD_SIZE");
        using var first = world.Start(0, "a", arguments);
        using var leaving = world.Start(1, "b", arguments);
        Assert.NotNull(await NodeLaunches.ReadUntil(leaving, "waiting for nodes: 2 of 3 here: a, b; missing: 1 more"));
        var started = Stopwatch.GetTimestamp();
        Assert.Equal(0, Posix.Kill(leaving.Id, Posix.SigTerm));
        await leaving.WaitForExitAsync().DefaultTimeout();
        Assert.Equal(143, leaving.ExitCode);
        Assert.InRange(Stopwatch.GetElapsedTime(started).TotalSeconds, 0, 5);

        // Were its seat still taken, one of these would be left over, and the others would wait for it in vain.
        using var third = world.Start(2, "c", arguments);
        using var fourth = world.Start(3, "d", arguments);
        var results = await Task.WhenAll(Distrun.End(first), Distrun.End(third), Distrun.End(fourth));
        Assert.Equal([0, 0, 0], results.Select(result => result.ExitCode));
        Assert.Equal(["0 of 3", "1 of 3", "2 of 3"], results.Select(result => result.OutputLines.Single().Split(": ")[^1]));
    }
}
