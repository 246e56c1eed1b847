namespace Distributed.Launcher.Tests.Rendezvous;

/// <summary>A node dies, and comes back or not.</summary>
public sealed class NodeLossTests
{
    // 65: the node of the endpoint lives, the other is killed and started again. Whether that costs a restart depends on which is seen first,
    // the loss or the new node; so the ranks leave a mark of their first life.
    [NodesFact]
    public async Task Node_KilledAndStartedAgain_JoinsTheNextRound()
    {
        using var world = new NodeWorld(2);
        var arguments = NodeLaunches.C10d(world, 2, "--max-restarts", "1", "sh", "-c", "if mkdir $TMPDIR/mark$RANK 2>/dev/null; then echo first; exec sleep 60; fi; echo again");
        using var first = world.Start(0, "a", arguments);
        var end = Distrun.End(first);
        using (var killed = world.Start(1, "b", arguments))
        {
            await killed.StandardOutput.ReadLineAsync().DefaultTimeout(); // its rank runs
            killed.Kill();
        }

        using var again = world.Start(1, "b", arguments);
        var results = await Task.WhenAll(end, Distrun.End(again));
        Assert.Equal([0, 0], results.Select(result => result.ExitCode));
        Assert.Contains("node b was lost: no sign of life for 3 s; the group starts again", results[0].Error, StringComparison.Ordinal);
        Assert.Equal(["[rank0]: first", "[rank0]: again"], results[0].OutputLines);
    }

    // 66, 64. The ranks go on until the second node has been there, however long it took to come, and is there no more.
    [NodesFact]
    public async Task Node_LostWhereOneIsEnough_LeavesTheOtherToGoOn()
    {
        using var world = new NodeWorld(2);
        var arguments = NodeLaunches.C10d(world, "1:2", "sh", "-c", "echo of $WORLD_SIZE; test $WORLD_SIZE = 1 && test -e $TMPDIR/been || exec sleep 60");
        using var first = world.Start(0, "a", arguments);
        using (var killed = world.Start(1, "b", arguments))
        {
            Assert.Equal("[rank1]: of 2", await killed.StandardOutput.ReadLineAsync().DefaultTimeout());
            await File.WriteAllTextAsync(Path.Combine(world.Distrun.Jobs, "been"), "");
            killed.Kill();
        }

        var result = await Distrun.End(first);
        Assert.True(result.ExitCode == 0, $"{result.ExitCode}: {result.Error}");
        Assert.Equal("of 1", result.OutputLines[^1].Split(": ")[^1]); // whichever rounds came before
    }
}
