namespace Distributed.Launcher.Tests.Rendezvous;

/// <summary>PyTorch on several nodes.</summary>
public sealed class NodeTorchTests
{
    // A real foreign program: torch's own store on rank 0, gloo between the nodes, a step of DistributedDataParallel.
    [NodesFact("/usr/lib/python3/dist-packages/torch/__init__.py")]
    public async Task Run_TorchOnTwoNodes_AllReducesAndTrains()
    {
        using var world = new NodeWorld(2);
        world.Distrun.Environment["GLOO_SOCKET_IFNAME"] = "eth0"; // the nodes' names are in no DNS
        var program = Path.Combine(Repository.Root, "tests", "Launcher.Tests", "Torch", "job.py");
        var (first, second) = await NodeLaunches.Run(
            world, "a", "b", NodeLaunches.C10d(world, 2, "/usr/bin/python3", program, world.Distrun.Files.Path));
        Assert.True((first.ExitCode, second.ExitCode) == (0, 0), first.Error + second.Error);
        var results = Directory.GetFiles(world.Distrun.Files.Path, "*.attempt0").Select(File.ReadAllText).ToArray();
        Assert.Equal(2, results.Length);
        Assert.Equal(results[0], results[1]);

        // Twice 0 + 1 + 2 + 3, and 0 + 1 for each of the four.
        Assert.StartsWith("sum 16.0 weights ", results[0], StringComparison.Ordinal);
    }
}
