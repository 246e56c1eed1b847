namespace Distributed.Launcher.Tests.Rendezvous;

/// <summary>Where the ranks of several nodes stand, and what they find. Nodes are network namespaces with names of their own.</summary>
public sealed class NodeRanksTests
{
    // 40, L13: node10 comes after node9.
    [NodesFact]
    public async Task Run_TwoNodesOfTwoRanks_NumbersThemByTheNumbersInTheirNames()
    {
        using var world = new NodeWorld(2);
        const string Print = "echo $(hostname) $RANK/$WORLD_SIZE $LOCAL_RANK/$LOCAL_WORLD_SIZE $GROUP_RANK/$GROUP_WORLD_SIZE $MASTER_ADDR";
        var (first, second) = await NodeLaunches.Run(world, "node10", "node9", NodeLaunches.C10d(world, 2, "--nproc-per-node", "2", "sh", "-c", Print));

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
        Assert.Equal(NodeLaunches.RootCause(results[0]), NodeLaunches.RootCause(results[1]));
    }
}
