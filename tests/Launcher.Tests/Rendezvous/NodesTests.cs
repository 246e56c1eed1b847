using System.Diagnostics;

namespace Distributed.Launcher.Tests.Rendezvous;

/// <summary>Real launchers on several nodes, which are network namespaces with names of their own.</summary>
public sealed class NodesTests
{
    private const string Quick = "last_call_timeout=1,keep_alive_interval=0.5,keep_alive_max_attempt=6";

    // 40, L13: node10 comes after node9.
    [NodesFact]
    public async Task Run_TwoNodesOfTwoRanks_NumbersThemByTheNumbersInTheirNames()
    {
        using var world = new NodeWorld(2);
        const string Print = "echo $(hostname) $RANK/$WORLD_SIZE $LOCAL_RANK/$LOCAL_WORLD_SIZE $GROUP_RANK/$GROUP_WORLD_SIZE $MASTER_ADDR";
        var (first, second) = await Run(world, "node10", "node9", C10d(world, 2, "--nproc-per-node", "2", "sh", "-c", Print));

        Assert.Equal((0, 0), (first.ExitCode, second.ExitCode));
        Assert.Equal(
            [$"[rank0]: node9 0/4 0/2 0/2 {world.Address(1)}", $"[rank1]: node9 1/4 1/2 0/2 {world.Address(1)}"], second.OutputLines.Order(StringComparer.Ordinal));
        Assert.Equal(
            [$"[rank2]: node10 2/4 0/2 1/2 {world.Address(1)}", $"[rank3]: node10 3/4 1/2 1/2 {world.Address(1)}"], first.OutputLines.Order(StringComparer.Ordinal));
    }

    // 15, 32, 41: declared ranks, the address as it was given, and nodes of different sizes.
    [NodesFact]
    public async Task Run_StaticNodes_FollowsNodeRankAndPassesOnWhatWasGiven()
    {
        using var world = new NodeWorld(2);
        string[] Arguments(int rank, int count)
            => ["--nnodes", "2", "--nproc-per-node", $"{count}", "--node-rank", $"{rank}", "--master-addr", world.Address(0), "--master-port", "29500",
                "sh", "-c", "echo $RANK/$WORLD_SIZE $MASTER_ADDR:$MASTER_PORT"];
        using var first = world.Start(0, "zebra", Arguments(0, 1));
        using var second = world.Start(1, "ant", Arguments(1, 2));
        var results = await Task.WhenAll(Distrun.End(first), Distrun.End(second));

        Assert.Equal([0, 0], results.Select(result => result.ExitCode));
        Assert.Equal([$"[rank0]: 0/3 {world.Address(0)}:29500"], results[0].OutputLines);
        Assert.Equal([$"[rank1]: 1/3 {world.Address(0)}:29500", $"[rank2]: 2/3 {world.Address(0)}:29500"], results[1].OutputLines.Order(StringComparer.Ordinal));
    }

    // L10, 46, 60, L14
    [NodesFact]
    public async Task RankFails_OnOneNode_EndsTheOtherWithTheSameRootCause()
    {
        using var world = new NodeWorld(2);
        var (first, second) = await Run(
            world, "a", "b", C10d(world, 2, "sh", "-c", "test $RANK = 1 || exec sleep 60; sleep 1; echo the reason >&2; exit 7"));

        Assert.Equal((7, 7), (first.ExitCode, second.ExitCode));
        Assert.Contains("distrun: rank 1 on b failed first", first.Error, StringComparison.Ordinal);
        Assert.Equal(RootCause(second), RootCause(first));
        Assert.Contains("host      : b", RootCause(first), StringComparison.Ordinal);
        Assert.Contains("stderr    : the reason", RootCause(first), StringComparison.Ordinal);
        await world.Distrun.AssertNothingIsLeft();
    }

    // 61, 67
    [NodesFact]
    public async Task RankFails_WithRestarts_StartsBothNodesAgain()
    {
        using var world = new NodeWorld(2);
        var (first, second) = await Run(
            world, "a", "b", C10d(world, 2, "--max-restarts", "1", "--min-uptime", "0", "--restart-backoff", "0", "sh", "-c",
            "echo attempt $TORCHELASTIC_RESTART_COUNT of $RANK; test $TORCHELASTIC_RESTART_COUNT = 1 && exit 0; test $RANK = 1 && exit 7; exec sleep 60"));

        Assert.Equal((0, 0), (first.ExitCode, second.ExitCode));
        Assert.Equal(["[rank0]: attempt 0 of 0", "[rank0]: attempt 1 of 0"], first.OutputLines);
        Assert.Contains("the group starts again (restart 1 of 1)", first.Error, StringComparison.Ordinal);
    }

    [NodesFact]
    public async Task Run_BundledWorkerOnTwoNodes_GivesTheTextOfOneNode()
    {
        using var world = new NodeWorld(2);
        string[] complete = ["worker", "complete", "--config", Path.Combine(Repository.Root, "configs", "demo.json")];
        using var one = new Distrun();
        var expected = await one.Run(["--nproc-per-node", "2", .. complete]);
        var (first, second) = await Run(world, "a", "b", C10d(world, 2, complete));

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
        using var launch = world.Start(0, "a", C10d(world, 2, "worker", "complete"));
        var result = await Distrun.End(launch);
        Assert.Equal(1, result.ExitCode);
        Assert.Contains("--rdzv-conf secret_file=FILE", result.Error, StringComparison.Ordinal);
    }

    // 65: the node of the endpoint lives, the other is killed and started again. Whether that costs a restart depends on which is seen first,
    // the loss or the new node; so the ranks leave a mark of their first life.
    [NodesFact]
    public async Task Node_KilledAndStartedAgain_JoinsTheNextRound()
    {
        using var world = new NodeWorld(2);
        var arguments = C10d(world, 2, "--max-restarts", "1", "sh", "-c", "if mkdir $TMPDIR/mark$RANK 2>/dev/null; then echo first; exec sleep 60; fi; echo again");
        using var first = world.Start(0, "a", arguments);
        var end = Distrun.End(first);
        using (var killed = world.Start(1, "b", arguments))
        {
            await killed.StandardOutput.ReadLineAsync(); // its rank runs
            killed.Kill();
        }

        using var again = world.Start(1, "b", arguments);
        var results = await Task.WhenAll(end, Distrun.End(again));
        Assert.Equal([0, 0], results.Select(result => result.ExitCode));
        Assert.Contains("node b was lost: no sign of life for 3 s; the group starts again", results[0].Error, StringComparison.Ordinal);
        Assert.Equal(["[rank0]: first", "[rank0]: again"], results[0].OutputLines);
    }

    // 66, 64
    [NodesFact]
    public async Task Node_LostWhereOneIsEnough_LeavesTheOtherToGoOn()
    {
        using var world = new NodeWorld(2);
        var arguments = C10d(world, "1:2", "sh", "-c", "echo of $WORLD_SIZE; test $WORLD_SIZE = 1 || exec sleep 60");
        using var first = world.Start(0, "a", arguments);
        using (var killed = world.Start(1, "b", arguments))
        {
            await killed.StandardOutput.ReadLineAsync();
            killed.Kill();
        }

        var result = await Distrun.End(first);
        Assert.Equal(0, result.ExitCode);
        Assert.Equal("of 1", result.OutputLines[^1].Split(": ")[^1]); // whichever rounds came before
    }

    // A cable pull: each side ends by itself, within the time after which a node is lost.
    [NodesFact]
    public async Task Cable_Pulled_EndsBothNodesNamingWhatIsLost()
    {
        using var world = new NodeWorld(2);
        var arguments = C10d(world, 2, "sh", "-c", "echo up; exec sleep 60");
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

    // L15
    [NodesFact]
    public async Task Sigterm_WhileWaiting_FreesTheSeatAtOnce()
    {
        using var world = new NodeWorld(3);
        var arguments = C10d(world, 2, "sh", "-c", "echo $GROUP_RANK");
        using var first = world.Start(0, "a", [.. arguments.Select(argument => argument == "2" ? "3" : argument)]);
        using var leaving = world.Start(1, "b", [.. arguments.Select(argument => argument == "2" ? "3" : argument)]);
        var told = await ReadUntil(leaving, "waiting for nodes: 2 of 3 here: a, b; missing: 1 more");
        Assert.NotNull(told);
        var started = Stopwatch.GetTimestamp();
        Assert.Equal(0, Posix.Kill(leaving.Id, 15));
        await leaving.WaitForExitAsync().DefaultTimeout();
        Assert.Equal(143, leaving.ExitCode);
        Assert.InRange(Stopwatch.GetElapsedTime(started).TotalSeconds, 0, 5);
        Assert.NotNull(await ReadUntil(first, "waiting for nodes: 1 of 3 here: a; missing: 2 more"));
        Assert.Equal(0, Posix.Kill(first.Id, 15));
        Assert.Equal(143, (await Distrun.End(first)).ExitCode);
    }

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
        var (first, second) = await Run(world, "a", "b", C10d(world, 2, "/usr/bin/python3", "sum.py"));
        Assert.Equal((0, 0), (first.ExitCode, second.ExitCode));
        Assert.Equal(["[rank0]: sum 3.0 of 2"], first.OutputLines);
        Assert.Equal(["[rank1]: sum 3.0 of 2"], second.OutputLines);
    }

    // Through Debian's etcd.
    [NodesFact("/usr/bin/etcd")]
    public async Task Run_ThroughEtcd_NeedsNoNodeForTheStore()
    {
        using var etcd = new EtcdServer();
        string[] arguments = ["--nnodes", "2", "--rdzv-backend", "etcd", "--rdzv-endpoint", $"127.0.0.1:{etcd.Port}", "--rdzv-id", Guid.NewGuid().ToString("N"),
            "sh", "-c", "echo $RANK of $WORLD_SIZE; test $RANK = 1 && exit 3; exec sleep 60"];
        using var distrun = new Distrun();
        using var first = distrun.Start(arguments);
        using var second = distrun.Start(arguments);
        var results = await Task.WhenAll(Distrun.End(first), Distrun.End(second));
        Assert.Equal([3, 3], results.Select(result => result.ExitCode));
        Assert.Equal(["[rank0]: 0 of 2", "[rank1]: 1 of 2"], results.SelectMany(result => result.OutputLines).Order(StringComparer.Ordinal));
        Assert.Equal(RootCause(results[0]), RootCause(results[1]));
    }

    private static string[] C10d(NodeWorld world, object nodes, params string[] rest)
        => ["--nnodes", $"{nodes}", "--rdzv-backend", "c10d", "--rdzv-endpoint", $"{world.Address(0)}:29400", "--rdzv-conf", Quick, .. rest];

    private static async Task<(LaunchResult First, LaunchResult Second)> Run(NodeWorld world, string firstName, string secondName, string[] arguments)
    {
        using var first = world.Start(0, firstName, arguments);
        using var second = world.Start(1, secondName, arguments);
        var results = await Task.WhenAll(Distrun.End(first), Distrun.End(second));
        return (results[0], results[1]);
    }

    private static async Task<string?> ReadUntil(Process launch, string text)
    {
        while (await launch.StandardError.ReadLineAsync().DefaultTimeout() is { } line)
        {
            if (line.Contains(text, StringComparison.Ordinal))
            {
                return line;
            }
        }

        return null;
    }

    private static string RootCause(LaunchResult result)
    {
        var start = result.Error.IndexOf("Root Cause (first observed failure):", StringComparison.Ordinal);
        Assert.True(start >= 0, result.Error);
        return result.Error[start..result.Error.IndexOf("\n====", start, StringComparison.Ordinal)];
    }
}
