using System.Diagnostics;

namespace Distributed.Collectives.Tests;

/// <summary>What a group does when a rank dies, hangs, or does something else than the others.</summary>
public sealed class FaultTests
{
    private static readonly CollectiveOptions Tag7 = new(Tag: 7, Timeout: TimeSpan.FromSeconds(20));

    // Each waits for rank 2, or sends to it, on at least one of ranks 0 and 1.
    private static readonly Dictionary<string, Action<ProcessGroup>> Operations = new()
    {
        ["AllReduce"] = group => group.AllReduce(new float[100_000], Tag7),
        ["AllGather"] = group => group.AllGather(new byte[100_000], new byte[300_000], Tag7),
        ["Gather"] = group => group.Gather(new byte[100_000], new byte[group.Rank == 0 ? 300_000 : 0], root: 0, Tag7),
        ["Broadcast"] = group => group.Broadcast(new byte[100_000], root: 2, Tag7),
        ["Barrier"] = group => group.Barrier(Tag7),
        ["Receive"] = group => group.Receive(new byte[100_000], peer: 2, Tag7),
    };

    public static TheoryData<string, string> TransportsAndOperations()
    {
        var grid = new TheoryData<string, string>();
        foreach (var operation in Operations.Keys)
        {
            grid.Add("in-memory", operation);
            grid.Add("gRPC", operation);
            grid.Add("shared memory", operation);
        }

        return grid;
    }

    [Theory]
    [MemberData(nameof(TransportsAndOperations))]
    public async Task AnyOperation_PeerDiesInIt_EverySurvivorNamesThatPeer(string transport, string operation)
    {
        await using var world = await TestWorld.StartAsync(transport, 3);
        using var inside = new CountdownEvent(2);
        var errors = RankThreads.Catch(world.Ranks, group =>
        {
            if (group.Rank == 2)
            {
                Assert.True(inside.Wait(TimeSpan.FromSeconds(20)));
                Thread.Sleep(20);
                TestWorld.Kill(group);
                return;
            }

            inside.Signal();
            Operations[operation](group);
            group.Barrier(Tag7); // where this rank's part of the operation needed nothing from rank 2
        });

        foreach (var rank in new[] { 0, 1 })
        {
            var error = Assert.IsAssignableFrom<CollectiveException>(errors[rank]);
            Assert.True(error is PeerLostException or GroupAbortedException, error.ToString());
            Assert.Equal(2, error.PeerRank);
            Assert.Contains("lost rank 2", error.Message, StringComparison.Ordinal);
            Assert.Contains("(tag 7) on rank", error.Message, StringComparison.Ordinal);
            Assert.Contains("s of at most 20 s", error.Message, StringComparison.Ordinal);
        }
    }

    [Theory]
    [MemberData(nameof(TestWorld.Transports), MemberType = typeof(TestWorld))]
    public async Task AllReduce_PeerDoesNotCome_TimesOutAndAbortsTheGroupWithThatCause(string transport)
    {
        await using var world = await TestWorld.StartAsync(transport, 3);
        var errors = RankThreads.Catch(world.Ranks, group =>
        {
            if (group.Rank == 0)
            {
                group.AllReduce(new float[10], new CollectiveOptions(Tag: 3, Timeout: TimeSpan.FromMilliseconds(250)));
            }
            else if (group.Rank == 1)
            {
                group.AllReduce(new float[10], new CollectiveOptions(Tag: 3, Timeout: TimeSpan.FromSeconds(20)));
            }
            else
            {
                Assert.True(group.Aborted.WaitHandle.WaitOne(TimeSpan.FromSeconds(20)));
                group.Barrier();
            }
        });

        var first = Assert.IsType<CollectiveTimeoutException>(errors[0]);
        Assert.Matches(@"^AllReduce \(tag 3\) on rank 0: rank 2 did not do its part in time(; it was last heard of .*)? \(\d+\.\d{3} s of at most 0\.25 s\)\.$", first.Message);
        Assert.Equal(2, first.PeerRank);
        foreach (var rank in new[] { 1, 2 })
        {
            var consequence = Assert.IsType<GroupAbortedException>(errors[rank]);
            Assert.Contains($"the group was aborted before by rank 0; the first cause: {first.Message}", consequence.Message, StringComparison.Ordinal);
            Assert.Equal(2, consequence.PeerRank);
        }
    }

    [Theory]
    [InlineData("in-memory", "operation")]
    [InlineData("in-memory", "tag")]
    [InlineData("in-memory", "length")]
    [InlineData("gRPC", "operation")]
    [InlineData("gRPC", "tag")]
    [InlineData("gRPC", "length")]
    [InlineData("shared memory", "operation")]
    [InlineData("shared memory", "tag")]
    [InlineData("shared memory", "length")]
    public async Task AllReduce_PeerDoesSomethingElse_IsAnErrorThatNamesBothViews(string transport, string difference)
    {
        await using var world = await TestWorld.StartAsync(transport, 2);
        var errors = RankThreads.Catch(world.Ranks, group =>
        {
            if (group.Rank == 0)
            {
                group.AllReduce(new float[2], Tag7);
            }
            else if (difference == "operation")
            {
                group.Barrier(Tag7);
            }
            else
            {
                group.AllReduce(new float[difference == "length" ? 3 : 2], difference == "tag" ? new CollectiveOptions(Tag: 8) : Tag7);
            }
        });

        var (theirs, detail) = difference switch
        {
            "operation" => ("Barrier (tag 7, 0 bytes)", "(tag 7)"),
            "tag" => ("AllReduce (tag 8, 8 bytes, Sum of Float32)", "(tag 8)"),
            _ => ("AllReduce (tag 7, 12 bytes, Sum of Float32)", "(tag 7)"),
        };
        var views = $"rank 1 is in {theirs} while this rank is in AllReduce (tag 7, 8 bytes, Sum of Float32)";
        var mirrored = $"rank 0 is in AllReduce (tag 7, 8 bytes, Sum of Float32) while this rank is in {theirs}";
        Assert.All(errors, error => Assert.True(error is PeerProtocolException or GroupAbortedException, error?.ToString()));
        Assert.Contains(errors, error => error is PeerProtocolException);
        Assert.All(errors, error => Assert.True(
            error!.Message.Contains(views, StringComparison.Ordinal) || error.Message.Contains(mirrored, StringComparison.Ordinal), error.Message));
        Assert.Contains(detail, errors[1]!.Message, StringComparison.Ordinal);
    }

    [Theory]
    [MemberData(nameof(TestWorld.Transports), MemberType = typeof(TestWorld))]
    public async Task Abort_ByOneRank_EndsAllWithItsCauseEscapedAndBounded(string transport)
    {
        await using var world = await TestWorld.StartAsync(transport, 3);
        var cause = "the tokenizer\nis gone \u001b[31m" + new string('x', 5000);
        var errors = RankThreads.Catch(world.Ranks, group =>
        {
            if (group.Rank == 1)
            {
                group.Abort(cause);
            }

            group.Barrier(Tag7);
        });

        Assert.All(errors, error =>
        {
            var aborted = Assert.IsType<GroupAbortedException>(error);
            Assert.Null(aborted.PeerRank);
            Assert.Contains("the group was aborted before by rank 1; the first cause: the tokenizer\\u000Ais gone \\u001B[31mxxx", aborted.Message, StringComparison.Ordinal);
            Assert.InRange(aborted.Message.Length, 1024, 1300);
        });
    }

    [Theory]
    [MemberData(nameof(TestWorld.Transports), MemberType = typeof(TestWorld))]
    public async Task Operations_AfterAFailure_RepeatTheFirstCauseAsAConsequence(string transport)
    {
        await using var world = await TestWorld.StartAsync(transport, 2);
        TestWorld.Kill(world.Ranks[1]);
        RankThreads.Catch(world.Ranks, group =>
        {
            if (group.Rank == 0)
            {
                Assert.True(group.Aborted.WaitHandle.WaitOne(TimeSpan.FromSeconds(20)));
                var first = Assert.Throws<PeerLostException>(() => group.Barrier());
                for (var i = 0; i < 3; i++)
                {
                    var consequence = Assert.Throws<GroupAbortedException>(() => group.AllReduce(new float[1], Tag7));
                    Assert.Contains($"the first cause: {first.Message}", consequence.Message, StringComparison.Ordinal);
                    Assert.Equal(1, consequence.PeerRank);
                }

                group.Abort("too late");
                Assert.DoesNotContain("too late", Assert.Throws<GroupAbortedException>(() => group.Barrier()).Message, StringComparison.Ordinal);
            }
        }).Where(error => error is not null).ToList().ForEach(error => Assert.Fail(error!.ToString()));
    }

    [Theory]
    [MemberData(nameof(TestWorld.Transports), MemberType = typeof(TestWorld))]
    public async Task Dispose_WhileOthersStillWork_IsNoFailureUntilTheyNeedTheRank(string transport)
    {
        await using var world = await TestWorld.StartAsync(transport, 3);
        var errors = RankThreads.Catch(world.Ranks, group =>
        {
            group.Barrier(Tag7);
            if (group.Rank == 2)
            {
                group.Dispose();
                return;
            }

            var values = new byte[1000];
            for (var i = 0; i < 100; i++)
            {
                if (group.Rank == 0)
                {
                    group.Send(values, peer: 1, Tag7);
                }
                else
                {
                    group.Receive(values, peer: 0, Tag7);
                }
            }

            Assert.False(group.Aborted.IsCancellationRequested);
            group.Barrier(Tag7);
        });

        Assert.Null(errors[2]);
        foreach (var rank in new[] { 0, 1 })
        {
            var error = Assert.IsAssignableFrom<CollectiveException>(errors[rank]);
            Assert.Equal(2, error.PeerRank);
            Assert.Contains("lost rank 2, which has left the group", error.Message, StringComparison.Ordinal);
        }
    }

    [Theory]
    [MemberData(nameof(TestWorld.Transports), MemberType = typeof(TestWorld))]
    public async Task Send_OfMoreThanThePeerTakes_TimesOut(string transport)
    {
        await using var world = await TestWorld.StartAsync(transport, 2);
        var options = new CollectiveOptions(Timeout: TimeSpan.FromMilliseconds(300));
        var watch = Stopwatch.StartNew();
        var error = Assert.Throws<CollectiveTimeoutException>(() => world.Ranks[0].Send(new byte[100 << 20], peer: 1, options));

        Assert.Contains("Send (tag 0) on rank 0: rank 1 did not take what was sent to it", error.Message, StringComparison.Ordinal);
        Assert.InRange(watch.Elapsed, TimeSpan.FromMilliseconds(290), TimeSpan.FromSeconds(10)); // timers count whole milliseconds
    }

    [Fact]
    public void Operations_FromTwoThreadsAtOnce_AreRefused()
    {
        var world = InMemoryWorld.Create(2);
        using var first = world[0];
        using var second = world[1];
        var waiting = new Thread(() => Assert.ThrowsAny<CollectiveException>(() => first.Barrier()));
        waiting.Start();
        Thread.Sleep(50);

        var error = Assert.Throws<InvalidOperationException>(() => first.AllReduce(new float[1]));
        Assert.Contains("AllReduce was called while Barrier is running", error.Message, StringComparison.Ordinal);
        second.Abort("done");
        Assert.True(waiting.Join(TimeSpan.FromSeconds(20)));
    }

    [Fact]
    public void Operations_WithArgumentsThatDoNotFit_AreRefusedBeforeAnythingIsSent()
    {
        var world = InMemoryWorld.Create(3);
        var group = world[1];
        var shared = new byte[9];
        Assert.Throws<ArgumentException>(() => group.AllGather(new byte[3], new byte[8]));
        Assert.Throws<ArgumentException>(() => group.AllGather(shared.AsSpan(3, 3), shared));
        Assert.Throws<ArgumentException>(() => group.Gather(new byte[3], new byte[8], root: 1));
        Assert.Throws<ArgumentOutOfRangeException>(() => group.Gather(new byte[3], [], root: 3));
        Assert.Throws<ArgumentOutOfRangeException>(() => group.Broadcast(new byte[3], root: -1));
        Assert.Throws<ArgumentOutOfRangeException>(() => group.Send(new byte[3], peer: 1));
        Assert.Throws<ArgumentOutOfRangeException>(() => group.Receive(new byte[3], peer: 3));
        Assert.Throws<ArgumentOutOfRangeException>(() => group.Barrier(new CollectiveOptions(Timeout: TimeSpan.Zero)));
        Assert.Throws<ArgumentOutOfRangeException>(() => group.Barrier(new CollectiveOptions(Timeout: Timeout.InfiniteTimeSpan)));

        RankThreads.Run(world, rank => rank.Barrier()); // the group still stands
        Assert.Throws<ObjectDisposedException>(() => group.Barrier());
    }
}
