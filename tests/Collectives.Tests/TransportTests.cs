namespace Distributed.Collectives.Tests;

/// <summary>Every operation over what connects the ranks of one host: shared memory, and streams over Unix sockets.</summary>
public sealed class TransportTests
{
    public static TheoryData<string, int> Grid => new()
    {
        { "gRPC", 2 },
        { "gRPC", 3 },
        { "gRPC", 5 },
        { "shared memory", 2 },
        { "shared memory", 3 },
        { "shared memory", 5 },
    };

    [Theory]
    [MemberData(nameof(Grid))]
    public async Task Operations_BetweenTheRanksOfAHost_DoWhatTheyDoInMemory(string transport, int worldSize)
    {
        await using var world = await TestWorld.StartAsync(transport, worldSize);
        var barrier = OperationChecks.Barrier();
        RankThreads.Run(world.Ranks, group =>
        {
            foreach (var length in new[] { 0, 1, 7, 1001, (64 << 8) + 1, (1 << 18) + 77 })
            {
                OperationChecks.AllReduce(group, length);
                OperationChecks.AllGather(group, length);
                OperationChecks.Gather(group, length);
                OperationChecks.Broadcast(group, length);
                OperationChecks.SendAndReceive(group, length);
            }

            barrier(group);
        });
    }

    [Theory]
    [InlineData("gRPC")]
    [InlineData("shared memory")]
    public async Task Send_OfOneMebibyteFromBothSidesAtOnce_DoesNotDeadlock(string transport)
    {
        await using var world = await TestWorld.StartAsync(transport, 2);
        RankThreads.Run(world.Ranks, group =>
        {
            var sent = new byte[1 << 20];
            sent.AsSpan().Fill((byte)(group.Rank + 1));
            var received = new byte[sent.Length];
            for (var i = 0; i < 10; i++)
            {
                group.Send(sent, 1 - group.Rank);
                group.Receive(received, 1 - group.Rank);
                Assert.Equal(-1, received.AsSpan().IndexOfAnyExcept((byte)(2 - group.Rank)));
            }
        });
    }

    [Theory]
    [InlineData("gRPC")]
    [InlineData("shared memory")]
    public async Task Dispose_RightAfterASend_LosesNothingOfIt(string transport)
    {
        // What was sent may still be queued when the rank says that it leaves.
        for (var length = 1; length <= 1 << 19; length *= 8)
        {
            await using var world = await TestWorld.StartAsync(transport, 2);
            var sending = Task.Run(() =>
            {
                var sent = new byte[length];
                sent.AsSpan().Fill(7);
                world.Ranks[0].Send(sent, peer: 1);
                world.Ranks[0].Dispose();
            });
            var received = new byte[length];
            await Task.Run(() => world.Ranks[1].Receive(received, peer: 0)).DefaultTimeout();
            Assert.Equal(-1, received.AsSpan().IndexOfAnyExcept((byte)7));
            await sending.DefaultTimeout();
        }
    }

    [Theory]
    [InlineData("gRPC", 2048)] // a view of the send buffer and a task, but no payload
    [InlineData("shared memory", 0)]
    public async Task AllReduce_InSteadyState_AllocatesLittleOnTheOwnerThread(string transport, int limit)
    {
        const int Length = 2048;
        const int Count = 100;
        await using var world = await TestWorld.StartAsync(transport, 2);
        RankThreads.Run(world.Ranks, group =>
        {
            var values = new float[Length];
            var fewest = long.MaxValue;
            for (var round = 0; round < 20; round++) // the first are not compiled yet as they will be
            {
                var before = GC.GetAllocatedBytesForCurrentThread();
                for (var i = 0; i < Count; i++)
                {
                    group.AllReduce(values);
                }

                fewest = Math.Min(fewest, (GC.GetAllocatedBytesForCurrentThread() - before) / Count);
            }

            Assert.InRange(fewest, 0, limit);
        });
    }
}
