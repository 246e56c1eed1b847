namespace Distributed.Launcher.Tests.Rendezvous;

/// <summary>PyTorch on several nodes.</summary>
public sealed class NodeTorchTests
{
    // A real foreign program: torch's own store on rank 0, and gloo between the nodes.
    [NodesFact("/usr/lib/python3/dist-packages/torch/__init__.py")]
    public async Task Run_TorchOnTwoNodes_AllReduces()
    {
        using var world = new NodeWorld(2);
        world.Distrun.Environment["GLOO_SOCKET_IFNAME"] = "eth0"; // the nodes' names are in no DNS
        await File.WriteAllTextAsync(world.Distrun.Files["sum.py"], """
            import torch, torch.distributed as dist
            dist.init_process_group("gloo", init_method="env://")
            value = torch.tensor([float(dist.get_rank() + 1)])
            dist.all_reduce(value)
            print("sum", value.item(), "of", dist.get_world_size())
            """);
        var (first, second) = await NodeLaunches.Run(world, "a", "b", NodeLaunches.C10d(world, 2, "/usr/bin/python3", "sum.py"));
        Assert.Equal((0, 0), (first.ExitCode, second.ExitCode));
        Assert.Equal(["[rank0]: sum 3.0 of 2"], first.OutputLines);
        Assert.Equal(["[rank1]: sum 3.0 of 2"], second.OutputLines);
    }
}
