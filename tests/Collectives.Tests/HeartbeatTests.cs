using System.Diagnostics;
using System.Globalization;
using Distributed.Protos;

namespace Distributed.Collectives.Tests;

/// <summary>A rank that is stopped or cut off is named soon; one that takes its time is left alone.</summary>
public sealed class HeartbeatTests
{
    private static readonly CollectiveOptions Patient = new(Tag: 6, Timeout: TimeSpan.FromSeconds(60));

    [Fact]
    public async Task Receive_FromAPeerThatFallsSilent_NamesItAndWhereItWas()
    {
        await using var job = await TestJob.StartAsync();
        var options = new PeerRendezvousOptions { Transport = TransportChoice.Grpc, SilenceLimit = TimeSpan.FromSeconds(1) };
        var joining = PeerRendezvous.JoinAsync(job.Environment(0, 2), job.Envelope(0), options);
        using var peer = RawPeer.Dial(job);
        await peer.HandshakeAsync(RawPeer.Identity(job));
        await peer.Writer.WriteAsync(new PeerFrame
        {
            Heartbeat = new Heartbeat { Operation = Operation.AllReduce, Tag = 9, OperationCount = 812, Phase = Phase.InOperation, Step = 14, Layer = 3, ElapsedMilliseconds = 3210 },
        });
        await peer.SendAsync(peer.Segment(Operation.Barrier, tag: 0, 0, []));
        using var rank0 = await joining.DefaultTimeout();

        var error = Assert.Throws<CollectiveTimeoutException>(() => rank0.Receive(new byte[1], peer: 1, Patient));
        Assert.Equal(1, error.PeerRank);
        Assert.Matches(
            @"^Receive \(tag 6\) on rank 0: rank 1 has said nothing for 1\.\d s \(limit 1 s\); its process is stopped, or the way to it is cut; "
            + @"it was last heard of in AllReduce \(tag 9, operation 812, step 14, layer 3\), begun 3\.2 s before",
            error.Message);
    }

    [Fact]
    public async Task LongestSilence_OfAPeerThatFallsSilent_GrowsUntilItSpeaks()
    {
        await using var job = await TestJob.StartAsync();
        var (peer, rank0) = await RawPeer.JoinAsync(job);
        using (peer)
        using (rank0)
        {
            var alone = rank0.Subgroup(0)!;
            await UntilAsync(() => rank0.LongestSilence is (1, { TotalSeconds: > 0.7 }) && alone.LongestSilence is (1, { TotalSeconds: > 0.7 }));
            await peer.Writer.WriteAsync(new PeerFrame { Heartbeat = new Heartbeat { Phase = Phase.BetweenOperations } });
            await UntilAsync(() => rank0.LongestSilence is (_, { TotalSeconds: < 0.5 }));
        }

        static async Task UntilAsync(Func<bool> isSo)
        {
            for (var start = Stopwatch.GetTimestamp(); !isSo(); await Task.Delay(5, TestContext.Current.CancellationToken))
            {
                Assert.True(Stopwatch.GetElapsedTime(start) < TimeSpan.FromSeconds(15));
            }
        }
    }

    [Theory]
    [InlineData("gRPC")]
    [InlineData("shared memory")]
    public async Task Barrier_APeerComputesForLongerThanTheLimit_IsNoFailure(string transport)
    {
        await using var job = await TestJob.StartAsync();
        var options = new PeerRendezvousOptions
        {
            Transport = transport == "gRPC" ? TransportChoice.Grpc : TransportChoice.SharedMemory,
            SilenceLimit = TimeSpan.FromSeconds(1),
            HeartbeatInterval = TimeSpan.FromMilliseconds(100),
        };
        RankThreads.Run(await job.JoinAllAsync(3, options: _ => options), group =>
        {
            group.Barrier(Patient);
            if (group.Rank == 1)
            {
                Thread.Sleep(2000);
            }

            group.Barrier(Patient);
        });
    }

    [Theory]
    [InlineData("gRPC")]
    [InlineData("shared memory")]
    public async Task AllReduce_PeerDoesNotCome_SaysWhereItWas(string transport)
    {
        await using var world = await TestWorld.StartAsync(transport, 2, TimeSpan.FromMilliseconds(50));
        var errors = RankThreads.Catch(world.Ranks, group =>
        {
            group.Barrier(new CollectiveOptions(Tag: 31));
            if (group.Rank == 0)
            {
                group.AllReduce(new float[10], new CollectiveOptions(Tag: 32, Timeout: TimeSpan.FromSeconds(1)));
            }
            else
            {
                Assert.True(group.Aborted.WaitHandle.WaitOne(TimeSpan.FromSeconds(20)));
            }
        });
        var error = Assert.IsType<CollectiveTimeoutException>(errors[0]);
        Assert.Contains("rank 1 did not do its part in time; it was last heard of after Barrier (tag 31, operation 2), ended", error.Message, StringComparison.Ordinal);
    }

    [UnixTheory]
    [InlineData("shm")]
    [InlineData("grpc")]
    public async Task AllReduce_OneProcessIsStopped_EveryOtherNamesThatOneAndNotItsNeighbours(string transport)
    {
        await using var job = await TestJob.StartAsync();
        var ranks = Enumerable.Range(0, 3).Select(rank => ProcessTests.Start(job, rank, worldSize: 3, "loop 2", transport)).ToArray();
        try
        {
            foreach (var rank in ranks)
            {
                Assert.Equal("joined", await rank.StandardOutput.ReadLineAsync().DefaultTimeout());
            }

            using (var stop = Process.Start("kill", ["-STOP", ranks[1].Id.ToString(CultureInfo.InvariantCulture)]))
            {
                await stop.WaitForExitAsync().DefaultTimeout();
            }

            foreach (var rank in new[] { ranks[0], ranks[2] })
            {
                var verdict = await rank.StandardOutput.ReadLineAsync().WaitAsync(TimeSpan.FromSeconds(40));
                await rank.WaitForExitAsync().DefaultTimeout();
                Assert.Matches("^(CollectiveTimeoutException|GroupAbortedException) 1 .*rank 1 has said nothing for [0-9.]+ s \\(limit 2 s\\)", verdict);
            }
        }
        finally
        {
            Array.ForEach(ranks, rank => rank.Kill());
            Array.ForEach(ranks, rank => rank.Dispose());
        }
    }
}
