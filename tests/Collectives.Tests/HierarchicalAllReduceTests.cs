using System.Net;
using Distributed.Collectives.Algorithms;

namespace Distributed.Collectives.Tests;

/// <summary>Ranks of several hosts of several ranks each: the same bits, and less over the network.</summary>
public sealed class HierarchicalAllReduceTests
{
    /// <summary>[rank]: the host, as a digit. Whole subtrees, cut ones, a host of one, three hosts, and one that is not in one piece.</summary>
    public static TheoryData<string> Layouts => ["0011", "000111", "00011", "01111", "001122", "00112233", "01010101", "00001111", "0001112"];

    [Theory]
    [MemberData(nameof(Layouts))]
    public void AllReduce_OnAnyLayout_HasTheBitsOfTheTree(string layout)
        => RankThreads.Run(InMemoryWorld.Create(layout.Length, Hosts(layout), WireFormat.Exact), group =>
        {
            // Nothing, one element, one segment, some blocks of them, with owners and without.
            foreach (var length in new[] { 0, 1, 1001, (64 << 8) + 1, (1 << 18) + 77 })
            {
                OperationChecks.AllReduce(group, length);
            }

            group.Barrier();
        });

    [Theory]
    [InlineData("0011", 1, 2)] // a follower sends its values to its leader, and that one a unit to the other leader and the result to its follower
    [InlineData("000111", 1, 4)] // two units, two followers
    public void AllReduce_AcrossTwoHosts_SendsAUnitAPairOfHosts(string layout, int byFollower, int byLeader)
        => RankThreads.Run(InMemoryWorld.Create(layout.Length, Hosts(layout), WireFormat.Exact), group =>
        {
            var values = new float[500];
            var before = group.Statistics.SentByteCount;
            group.AllReduce(values);
            var isLeader = group.Rank == 0 || layout[group.Rank] != layout[group.Rank - 1];
            Assert.Equal((isLeader ? byLeader : byFollower) * 2000, group.Statistics.SentByteCount - before);
        });

    [Fact]
    public void AllReduce_AcrossThreeHosts_GivesEachHostItsShareOfALongSum()
        => RankThreads.Run(InMemoryWorld.Create(6, Hosts("001122"), WireFormat.Exact), group =>
        {
            // 12 segments: each leader sends 8 of its unit to their owners, 4 results to two hosts each, and 12 to its follower.
            var values = new byte[12 << 16];
            var before = group.Statistics.SentByteCount;
            group.AllReduce(values, ReduceOperation.Max);
            Assert.Equal((group.Rank % 2 == 0 ? 8 + (2 * 4) + 12 : 12) << 16, group.Statistics.SentByteCount - before);
        });

    [Fact]
    public async Task AllReduce_OverSharedMemoryInsideAndTlsBetween_HasTheBitsOfTheTree()
    {
        await using var job = await TestJob.StartAsync();
        const string Layout = "000111";
        var world = await job.JoinAllAsync(
            6,
            rank => job.Environment(rank, 6) with { LocalWorldSize = 3, LocalRank = rank % 3, GroupRank = rank / 3, GroupWorldSize = 2 },
            rank => new PeerRendezvousOptions { HostIdentity = $"host {Layout[rank]}", ListenAddress = IPAddress.Loopback });
        Assert.Equal("shared memory to ranks 1, 2; gRPC over TLS to ranks 3, 4, 5", world[0].TransportDescription);
        RankThreads.Run(world, group =>
        {
            foreach (var length in new[] { 0, 1001, (1 << 18) + 77 })
            {
                OperationChecks.AllReduce(group, length);
            }

            // Of one host, of two, and of one rank of each.
            if (group.Rank < 3)
            {
                OperationChecks.AllReduce(group.Subgroup(0, 1, 2)!, 1001);
            }

            if (group.Rank is 0 or 1 or 4 or 5)
            {
                OperationChecks.AllReduce(group.Subgroup(0, 1, 4, 5)!, 100_001);
            }

            if (group.Rank is 2 or 3)
            {
                OperationChecks.AllReduce(group.Subgroup(2, 3)!, 1001);
            }

            group.Barrier();
        });
    }

    [Fact]
    public void AllReduce_OneLeaderIsLost_EveryRankNamesIt()
    {
        var world = InMemoryWorld.Create(4, Hosts("0011"), WireFormat.Exact);
        var errors = RankThreads.Catch(world, group =>
        {
            if (group.Rank == 2)
            {
                TestWorld.Kill(group);
                return;
            }

            group.AllReduce(new float[100_000]);
        });
        Assert.All(new[] { 0, 1, 3 }, rank => Assert.Equal(2, Assert.IsAssignableFrom<CollectiveException>(errors[rank]).PeerRank));
    }

    [Fact]
    public void Units_OfAGroup_AreTheLargestSubtreesOfAHost()
    {
        Assert.Null(HostMap.Of(new[] { "a", "a" }));
        var hosts = HostMap.Of(new[] { "b", "b", "b", "a", "a", "a" })!;
        Assert.Equal([new TreeUnit(0, 2, 0), new(2, 1, 0), new(3, 1, 1), new(4, 2, 1)], hosts.Units);
        Assert.Equal([new TreeUnit(0, 2, 0), new(2, 2, 1)], hosts.Subset([0, 1, 4, 5])!.Units);
        Assert.Equal(3, hosts.LeaderOf(1));
        Assert.Null(hosts.Subset([3, 5]));
    }

    internal static int[] Hosts(string layout) => [.. layout.Select(digit => digit - '0')];
}
