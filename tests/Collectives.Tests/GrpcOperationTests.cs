namespace Distributed.Collectives.Tests;

public sealed class GrpcOperationTests
{
    [Fact]
    public async Task Operations_OverUnixSockets_DoWhatTheyDoInMemory()
    {
        await using var job = await TestJob.StartAsync();
        RankThreads.Run(await job.JoinAllAsync(2), group => OperationChecks.AllReduce(group, 1001));
    }
}
