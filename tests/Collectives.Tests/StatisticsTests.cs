using System.Text.Json;

namespace Distributed.Collectives.Tests;

/// <summary>What a group counts, and the trace that it writes.</summary>
public sealed class StatisticsTests
{
    [Theory]
    [MemberData(nameof(TestWorld.Transports), MemberType = typeof(TestWorld))]
    public async Task Statistics_AfterSomeOperations_CountThemAndNameTheStraggler(string transport)
    {
        await using var world = await TestWorld.StartAsync(transport, 3);
        RankThreads.Run(world.Ranks, group =>
        {
            var before = group.Statistics;
            Assert.DoesNotContain(before.Operations, operation => operation.Name is "AllReduce" or "AllGather");
            for (var i = 0; i < 3; i++)
            {
                group.AllReduce(new float[100]);
            }

            if (group.Rank == 2)
            {
                Thread.Sleep(400);
            }

            group.AllGather(new byte[7], new byte[21]);
            var after = group.Statistics;
            var sums = Assert.Single(after.Operations, operation => operation.Name == "AllReduce");
            Assert.Equal((3, 1200), (sums.Count, sums.ByteCount));
            var gathered = Assert.Single(after.Operations, operation => operation.Name == "AllGather");
            Assert.Equal((1, 21), (gathered.Count, gathered.ByteCount));
            Assert.Equal(2 * ((3 * 400) + 7), after.SentByteCount - before.SentByteCount);
            Assert.Equal(TimeSpan.Zero, after.WaitedFor[group.Rank]);
            if (group.Rank != 2)
            {
                Assert.InRange(gathered.Elapsed, TimeSpan.FromMilliseconds(300), TimeSpan.FromSeconds(30));
                Assert.InRange(after.WaitedFor[2] - before.WaitedFor[2], TimeSpan.FromMilliseconds(300), TimeSpan.FromSeconds(30));
            }
        });
    }

    [Fact]
    public void Straggler_IsTheRankThatWasWaitedForMost()
    {
        Assert.Equal(2, new GroupStatistics([], 0, [TimeSpan.Zero, TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(2)]).Straggler);
        Assert.Null(GroupStatistics.None.Straggler);
        using var alone = new SingleProcessGroup();
        Assert.Null(alone.Statistics.Straggler);
    }

    [Fact]
    public async Task Trace_OfTwoRanks_IsOneFileEachWithEveryOperation()
    {
        await using var job = await TestJob.StartAsync();
        var folder = Directory.CreateTempSubdirectory("distrun-").FullName;
        var options = new PeerRendezvousOptions { TraceFile = Path.Combine(folder, "trace.json") };
        RankThreads.Run(await job.JoinAllAsync(2, options: _ => options), group =>
        {
            group.AllReduce(new float[25], new CollectiveOptions(Tag: 41));
            group.Broadcast(new byte[8], root: 0, new CollectiveOptions(Tag: 42));
        });

        foreach (var rank in new[] { 0, 1 })
        {
            using var document = JsonDocument.Parse(await File.ReadAllBytesAsync(Path.Combine(folder, $"trace.{rank}.json")));
            var events = document.RootElement.GetProperty("traceEvents").EnumerateArray().ToArray();
            Assert.Equal(["Barrier", "AllReduce", "Broadcast"], events.Select(entry => entry.GetProperty("name").GetString())); // the first ends the rendezvous
            Assert.All(events, entry => Assert.Equal(("X", rank), (entry.GetProperty("ph").GetString(), entry.GetProperty("pid").GetInt32())));
            Assert.Equal((41, 100), (events[1].GetProperty("args").GetProperty("tag").GetInt32(), events[1].GetProperty("args").GetProperty("bytes").GetInt32()));
            Assert.True(events[2].GetProperty("ts").GetDouble() >= events[1].GetProperty("ts").GetDouble() + events[1].GetProperty("dur").GetDouble());
        }

        Directory.Delete(folder, recursive: true);
    }

    [Fact]
    public async Task Trace_IntoAFolderThatIsNotThere_IsRefused()
    {
        await using var job = await TestJob.StartAsync();
        var options = new PeerRendezvousOptions { TraceFile = Path.Combine(job.Directory, "none", "trace.json") };
        var error = await Assert.ThrowsAsync<RendezvousConnectionException>(
            () => PeerRendezvous.JoinAsync(job.Environment(0, 2), job.Envelope(0), options)).DefaultTimeout();
        Assert.Contains("trace.0.json cannot be written", error.Message, StringComparison.Ordinal);
    }
}
