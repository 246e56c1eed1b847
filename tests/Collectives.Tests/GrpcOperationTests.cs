namespace Distributed.Collectives.Tests;

/// <summary>Every operation over real streams: Unix sockets between the ranks of one host.</summary>
public sealed class GrpcOperationTests
{
    [Theory]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(5)]
    public async Task Operations_OverUnixSockets_DoWhatTheyDoInMemory(int worldSize)
    {
        await using var job = await TestJob.StartAsync();
        var world = await job.JoinAllAsync(worldSize);
        var barrier = OperationChecks.Barrier();
        RankThreads.Run(world, group =>
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

    [Fact]
    public async Task Send_OfOneMebibyteFromBothSidesAtOnce_DoesNotDeadlock()
    {
        await using var job = await TestJob.StartAsync();
        RankThreads.Run(await job.JoinAllAsync(2), group =>
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

    [Fact]
    public async Task AllReduce_InSteadyState_AllocatesLittleOnTheOwnerThread()
    {
        const int Length = 2048;
        const int Count = 500;
        await using var job = await TestJob.StartAsync();
        RankThreads.Run(await job.JoinAllAsync(2), group =>
        {
            var values = new float[Length];
            for (var i = 0; i < 200; i++)
            {
                group.AllReduce(values);
            }

            var before = GC.GetAllocatedBytesForCurrentThread();
            for (var i = 0; i < Count; i++)
            {
                group.AllReduce(values);
            }

            // The owner thread's own share: a view of the send buffer and a task, but no payload.
            var perCall = (GC.GetAllocatedBytesForCurrentThread() - before) / Count;
            Assert.InRange(perCall, 0, Length * sizeof(float) / 4);
        });
    }
}
