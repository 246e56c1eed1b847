namespace Distributed.Collectives.Tests;

/// <summary>Subgroups, meshes of them, and operations with handles.</summary>
public sealed class ProcessMeshTests
{
    [Theory]
    [MemberData(nameof(TestWorld.Transports), MemberType = typeof(TestWorld))]
    public async Task Mesh_OfTwoByTwo_SumsAlongEachDimension(string transport)
    {
        await using var world = await TestWorld.StartAsync(transport, 4);
        RankThreads.Run(world.Ranks, group =>
        {
            using var mesh = new ProcessMesh(group, ("dp", 2), ("tp", 2));
            Assert.Equal((group.Rank / 2, group.Rank % 2), (mesh.Coordinate("dp"), mesh.Coordinate("tp")));
            Assert.Equal((2, group.Rank % 2), (mesh["tp"].WorldSize, mesh["tp"].Rank));
            for (var round = 0; round < 20; round++)
            {
                float[] row = [1 << group.Rank];
                mesh["tp"].AllReduce(row);
                Assert.Equal(group.Rank < 2 ? 0b0011 : 0b1100, row[0]);

                float[] column = [1 << group.Rank];
                mesh["dp"].AllReduce(column);
                Assert.Equal(group.Rank % 2 == 0 ? 0b0101 : 0b1010, column[0]);

                float[] all = [1 << group.Rank];
                group.AllReduce(all);
                Assert.Equal(0b1111, all[0]);
            }

            mesh.Dispose();
            group.Barrier(); // the whole group outlives its subgroups
            Assert.Throws<ObjectDisposedException>(() => mesh["tp"].Barrier());
        });
    }

    [Fact]
    public void Subgroup_WithAndWithoutThisRank_IsAGroupOrNull()
    {
        RankThreads.Run(InMemoryWorld.Create(5), group =>
        {
            using var odd = group.Subgroup(1, 3);
            Assert.Equal(group.Rank is 1 or 3, odd is not null);
            if (odd is not null)
            {
                Assert.Equal((group.Rank / 2, 2), (odd.Rank, odd.WorldSize));
                var values = new[] { (byte)group.Rank };
                odd.Broadcast(values, root: 1);
                Assert.Equal(3, values[0]);
                odd.MonitoredBarrier();
            }

            Assert.Throws<ArgumentException>(() => group.Subgroup());
            Assert.Throws<ArgumentException>(() => group.Subgroup(3, 1));
            Assert.Throws<ArgumentException>(() => group.Subgroup(1, 1));
            Assert.Throws<ArgumentOutOfRangeException>(() => group.Subgroup(1, 5));
            group.Barrier();
        });
    }

    [Fact]
    public void Subgroup_APeerOfItFails_AbortsTheWholeAndNamesTheRankOfTheWhole()
    {
        var errors = RankThreads.Catch(InMemoryWorld.Create(4), group =>
        {
            if (group.Rank == 3)
            {
                TestWorld.Kill(group);
                return;
            }

            using var pair = group.Subgroup(group.Rank < 2 ? [0, 1] : [2, 3])!;
            while (true)
            {
                pair.Barrier(new CollectiveOptions(Timeout: TimeSpan.FromSeconds(20)));
            }
        });
        foreach (var rank in new[] { 0, 1, 2 })
        {
            var error = Assert.IsAssignableFrom<CollectiveException>(errors[rank]);
            Assert.Equal(3, error.PeerRank);
            Assert.Contains("lost rank 3", error.Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Mesh_ThatDoesNotFit_IsRefused()
    {
        using var group = new SingleProcessGroup();
        Assert.Throws<ArgumentException>(() => new ProcessMesh(group, ("tp", 2)));
        Assert.Throws<ArgumentException>(() => new ProcessMesh(group, ("tp", 1), ("tp", 1)));
        Assert.Throws<ArgumentOutOfRangeException>(() => new ProcessMesh(group, ("tp", 0)));
        using (var mesh = new ProcessMesh(group, ("dp", 1), ("tp", 1)))
        {
            mesh["tp"].Barrier();
        }

        group.Barrier();
    }

    [Fact]
    public void Queue_OfOperations_RunsThemInOrderAndHandsOutTheirErrors()
    {
        RankThreads.Run(InMemoryWorld.Create(3), group =>
        {
            using var queue = new AsyncCollectives(group);
            var values = Enumerable.Range(0, 50).Select(_ => new[] { 1f }).ToArray();
            var handles = values.Select(value => queue.Enqueue(queued => queued.AllReduce(value))).ToArray();
            Assert.True(Task.WaitAll(handles, TimeSpan.FromSeconds(20)));
            Assert.All(values, value => Assert.Equal(3, value[0]));

            var wrong = queue.Enqueue(queued => queued.Broadcast(new byte[1], root: 7));
            Assert.IsType<ArgumentOutOfRangeException>(Assert.Throws<AggregateException>(wrong.Wait).InnerException);
            Assert.True(queue.Enqueue(queued => queued.Barrier()).Wait(TimeSpan.FromSeconds(20)));
        });
    }

    [Theory]
    [MemberData(nameof(TestWorld.Transports), MemberType = typeof(TestWorld))]
    public async Task MonitoredBarrier_RanksDoNotCome_NamesExactlyThose(string transport)
    {
        await using var world = await TestWorld.StartAsync(transport, 4);
        var errors = RankThreads.Catch(world.Ranks, group =>
        {
            if (group.Rank is 0 or 2)
            {
                group.MonitoredBarrier(new CollectiveOptions(Tag: 4, Timeout: TimeSpan.FromMilliseconds(300)));
            }
            else
            {
                Assert.True(group.Aborted.WaitHandle.WaitOne(TimeSpan.FromSeconds(20)));
            }
        });
        var verdict = Assert.IsType<CollectiveTimeoutException>(errors[0]);
        Assert.StartsWith("MonitoredBarrier (tag 4) on rank 0: ranks 1, 3 did not reach the barrier in time", verdict.Message, StringComparison.Ordinal);
        Assert.Contains(verdict.Message, Assert.IsType<GroupAbortedException>(errors[2]).Message, StringComparison.Ordinal);
    }

    [Theory]
    [MemberData(nameof(TestWorld.Transports), MemberType = typeof(TestWorld))]
    public async Task Operation_RanksDisagreeAboutRootOrType_IsAnErrorAndNoResult(string transport)
    {
        foreach (var kind in new[] { "root", "type", "operation" })
        {
            await using var world = await TestWorld.StartAsync(transport, 2);
            var errors = RankThreads.Catch(world.Ranks, group =>
            {
                var values = new byte[8];
                switch (kind)
                {
                    case "root": group.Reduce(values, DataType.Byte, ReduceOperation.Sum, root: 1 - group.Rank); break;
                    case "type": group.AllReduce(values, group.Rank == 0 ? DataType.Int32 : DataType.Float32, ReduceOperation.Sum); break;
                    default: group.AllReduce(values, DataType.Int32, group.Rank == 0 ? ReduceOperation.Sum : ReduceOperation.Max); break;
                }

                group.Barrier();
            });
            Assert.All(errors, error => Assert.IsAssignableFrom<CollectiveException>(error));
            Assert.Contains(errors, error => error is PeerProtocolException);
        }
    }
}
