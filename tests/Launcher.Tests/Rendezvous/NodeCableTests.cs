namespace Distributed.Launcher.Tests.Rendezvous;

/// <summary>The nodes are cut off from each other.</summary>
public sealed class NodeCableTests
{
    // A cable pull: each side ends by itself, within the time after which a node is lost.
    [NodesFact]
    public async Task Cable_Pulled_EndsBothNodesNamingWhatIsLost()
    {
        using var world = new NodeWorld(2);
        var arguments = NodeLaunches.C10d(world, 2, "sh", "-c", "echo up; exec sleep 60");
        using var first = world.Start(0, "a", arguments);
        using var second = world.Start(1, "b", arguments);
        var readers = new[] { first, second }.Select(launch => launch.StandardOutput.ReadLineAsync()).ToArray();
        await Task.WhenAll(readers).DefaultTimeout();
        world.SetCable(1, isIn: false);
        var results = await Task.WhenAll(Distrun.End(first), Distrun.End(second));

        Assert.Equal([75, 75], results.Select(result => result.ExitCode));
        Assert.Contains("node b was lost", results[0].Error, StringComparison.Ordinal);
        Assert.Contains("this node has lost the others", results[1].Error, StringComparison.Ordinal);
        await world.Distrun.AssertNothingIsLeft();
    }
}
