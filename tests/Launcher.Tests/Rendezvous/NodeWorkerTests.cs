namespace Distributed.Launcher.Tests.Rendezvous;

/// <summary>The bundled worker on several nodes.</summary>
public sealed class NodeWorkerTests
{
    [NodesFact]
    public async Task Run_BundledWorkerOnTwoNodes_GivesTheTextOfOneNode()
    {
        using var world = new NodeWorld(2);
        string[] complete = ["worker", "complete", "--config", Path.Combine(Repository.Root, "configs", "demo.json"), "--max-gen-len", "24"];
        using var one = new Distrun();
        var expected = await one.Run(["--nproc-per-node", "2", .. complete]);
        var (first, second) = await NodeLaunches.Run(world, "a", "b", NodeLaunches.C10d(world, 2, complete));

        Assert.True(expected.ExitCode == 0, expected.Error);
        Assert.Equal((0, 0), (first.ExitCode, second.ExitCode));
        Assert.Equal(expected.Output, first.Output);
        Assert.NotEmpty(first.Output);
        Assert.Empty(second.Output);
        Assert.Contains("TLS", first.Error, StringComparison.Ordinal);
    }

    [NodesFact]
    public async Task Run_BundledWorkerWithoutASecret_IsRefused()
    {
        using var world = new NodeWorld(1);
        world.Distrun.Environment["DISTRUN_JOB_SECRET_FILE"] = null;
        using var launch = world.Start(0, "a", NodeLaunches.C10d(world, 2, "worker", "complete"));
        var result = await Distrun.End(launch);
        Assert.Equal(1, result.ExitCode);
        Assert.Contains("--rdzv-conf secret_file=FILE", result.Error, StringComparison.Ordinal);
    }
}
