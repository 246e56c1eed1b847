using Distributed.Collectives;
using Distributed.Engine.Generation;
using Distributed.Engine.Sampling;
using Distributed.Engine.Serving;

namespace Distributed.Engine.Tests.Serving;

/// <summary>Who runs, who waits, who is turned away, and how everybody comes to an end.</summary>
public sealed class SchedulingTests
{
    private static readonly InferenceRequest Long = new() { Prompt = ServingWorld.Prompt(1, 10), MaxTokens = 200, Temperature = 0, StopTokenIds = [] };

    [Fact]
    public void Queue_ManyOfOneClient_DelayAnotherByOne()
    {
        var queue = new WaitingQueue();
        foreach (var name in (string[])["a1", "a2", "a3", "b1", "a4", "c1", "b2"])
        {
            queue.Enqueue(Row(name));
        }

        Assert.Equal((7, 7L * 209), (queue.Count, queue.TokenCount));
        Assert.Equal(["a1", "b1", "c1", "a2", "b2", "a3", "a4"], Enumerable.Range(0, 7).Select(_ => Name(queue)));
        Assert.Equal((0, 0L), (queue.Count, queue.TokenCount));
    }

    [Fact]
    public void Queue_WhoWasGivenUp_LeavesAndTheOrderStays()
    {
        var queue = new WaitingQueue();
        var rows = ((string[])["a1", "a2", "b1", "c1", "a3"]).Select(Row).ToList();
        rows.ForEach(queue.Enqueue);
        rows[0].Call.Dispose();
        rows[2].Call.Dispose();

        Assert.Equal(2, queue.RemoveCancelled());

        Assert.Equal((3, 3L * 209), (queue.Count, queue.TokenCount));
        Assert.Equal(["a2", "c1", "a3"], Enumerable.Range(0, 3).Select(_ => Name(queue)));
    }

    [Fact]
    public void Submit_MoreThanMayWait_IsRefusedUntilSomebodyLeaves()
    {
        using var world = new ServingWorld(options: new SchedulerOptions { MaxQueuedRequests = 2 }, maxBatchSize: 3);
        var calls = Enumerable.Range(0, 5).Select(_ => world.Scheduler.Submit(Long)).ToList();

        var refusal = Assert.Throws<QueueFullException>(() => world.Scheduler.Submit(Long));

        Assert.StartsWith("5 requests wait", refusal.Message, StringComparison.Ordinal);
        Assert.InRange(refusal.RetryAfter.TotalSeconds, 1, 60);
        Assert.False(refusal.IsDraining);
        calls[2].Dispose();
        world.Scheduler.Submit(Long);
        var snapshot = world.Scheduler.Snapshot();
        Assert.Equal((6L, 1L, 1L, 5), (snapshot.AcceptedRequests, snapshot.RefusedRequests, snapshot.CancelledRequests, snapshot.WaitingRequests));
    }

    [Fact]
    public void Submit_MoreTokensThanMayWait_IsRefusedButTheFirst()
    {
        using var world = new ServingWorld(options: new SchedulerOptions { MaxQueuedTokens = 100 });
        world.Scheduler.Submit(Long);

        Assert.StartsWith("Requests of 209 tokens wait", Assert.Throws<QueueFullException>(() => world.Scheduler.Submit(Long)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Submit_WhatCanNeverFitTheCache_IsRefusedWithNumbers()
    {
        using var world = new ServingWorld(cacheTokenCount: 128);

        var refusal = Assert.Throws<GenerationException>(() => world.Scheduler.Submit(Long));

        Assert.StartsWith("The prompt of 10 tokens and its answer may come to 209, but the key-value cache has room for 128;", refusal.Message, StringComparison.Ordinal);
        world.Scheduler.Submit(Long with { MaxTokens = 119 });
    }

    [Fact]
    public async Task Dispose_WhileItRuns_FreesEverythingWithinAStep()
    {
        using var world = new ServingWorld().Start();
        var call = world.Scheduler.Submit(Long);
        await foreach (var _ in call.ReadAllAsync())
        {
            break;
        }

        var steps = world.Scheduler.Snapshot().Steps;
        await Until(() => world.Scheduler.Snapshot() is { CancelledRequests: 1, RunningRequests: 0, UsedBlocks: 0 });

        Assert.InRange(world.Scheduler.Snapshot().Steps, steps, steps + 1);
    }

    [Fact]
    public async Task Complete_WhileItRuns_FreesItAndCountsItAsFinished()
    {
        using var world = new ServingWorld().Start();
        var call = world.Scheduler.Submit(Long);
        await foreach (var _ in call.ReadAllAsync())
        {
            call.Complete();
            break;
        }

        await Until(() => world.Scheduler.Snapshot() is { FinishedRequests: 1, CancelledRequests: 0, RunningRequests: 0, UsedBlocks: 0 });
    }

    [Fact]
    public async Task Dispose_BeforeItRuns_NeverRuns()
    {
        using var world = new ServingWorld();
        world.Scheduler.Submit(Long).Dispose();
        world.Start();

        await Until(() => world.Scheduler.Snapshot().CancelledRequests == 1);
        Assert.Equal(0, world.Scheduler.Snapshot().Steps);
    }

    [Fact]
    public async Task Reader_ThatDoesNotRead_HoldsUpNobodyAndGivesUpItsSlot()
    {
        // One slot, and its holder's reader sleeps.
        using var world = new ServingWorld(options: new SchedulerOptions { MaxUnreadEvents = 8 }, maxBatchSize: 1).Start();
        var expected = ServingWorld.Bits(await world.AnswerAsync(Long).DefaultTimeout());
        var sleeping = world.Scheduler.Submit(Long);
        await Until(() => world.Scheduler.Snapshot().StalledRequests == 1);
        Assert.Equal(TimeSpan.Zero, world.Scheduler.Snapshot().TimeWithoutProgress); // nobody waits for the model

        var other = await world.AnswerAsync(Long).DefaultTimeout();

        Assert.Equal(expected, ServingWorld.Bits(other));
        Assert.True(world.Scheduler.Snapshot().Preemptions > 0);
        Assert.Equal(expected, ServingWorld.Bits(await ServingWorld.ReadAsync(sleeping).DefaultTimeout()));
    }

    [Fact]
    public async Task Readers_ThatDoNotRead_CountAmongThoseThatMayWait()
    {
        using var world = new ServingWorld(options: new SchedulerOptions { MaxUnreadEvents = 4, MaxQueuedRequests = 2, KeepAliveInterval = TimeSpan.FromHours(1) }, maxBatchSize: 1).Start();
        var calls = Enumerable.Range(0, 3).Select(_ => world.Scheduler.Submit(Long)).ToList();
        await Until(() => calls.TrueForAll(call => call.IsWaitingForReader));

        Assert.Throws<QueueFullException>(() => world.Scheduler.Submit(Long));

        calls[0].Dispose();
        await Until(() => world.Scheduler.Snapshot().CancelledRequests == 1);
        world.Scheduler.Submit(Long).Dispose();
    }

    [Fact]
    public async Task Prompt_Short_IsThroughInOneStepBesideALongOne()
    {
        // Both are read from the first step on: the short one takes what it needs, the long one the rest.
        using var world = new ServingWorld(options: new SchedulerOptions { MaxPrefillTokensPerStep = 16 });
        var slow = world.Scheduler.Submit(Long with { Prompt = ServingWorld.Prompt(3, 200), MaxTokens = 1 });
        var quick = world.Scheduler.Submit(Long with { Prompt = ServingWorld.Prompt(4, 8), MaxTokens = 1 });
        world.Start();
        await ServingWorld.ReadAsync(quick).DefaultTimeout();
        await ServingWorld.ReadAsync(slow).DefaultTimeout();

        // 8 + 8 tokens, then 16 a step for the 192 that are left.
        Assert.Equal((13L, 208L), (world.Scheduler.Snapshot().Steps, world.Scheduler.Snapshot().StepTokens));
    }

    [Fact]
    public async Task Drain_WithTime_FinishesWhatWasTakenAndTakesNoMore()
    {
        using var world = new ServingWorld(maxBatchSize: 2);
        var answers = Enumerable.Range(0, 5).Select(_ => world.AnswerAsync(Long)).ToList();
        world.Start();
        world.Scheduler.Drain(TimeSpan.FromMinutes(1));

        Assert.True(Assert.Throws<QueueFullException>(() => world.Scheduler.Submit(Long)).IsDraining);
        await world.Running.DefaultTimeout();
        foreach (var answer in answers)
        {
            Assert.Equal(FinishReason.Length, (await answer.DefaultTimeout())[^1].FinishReason);
        }

        var snapshot = world.Scheduler.Snapshot();
        Assert.Equal((5L, 5L, false, true), (snapshot.AcceptedRequests, snapshot.FinishedRequests, snapshot.IsRunning, snapshot.IsDraining));
        Assert.Throws<QueueFullException>(() => world.Scheduler.Submit(Long));
    }

    [Fact]
    public async Task Drain_TimeIsUp_FailsWhatIsLeftWithWhatContinuesIt()
    {
        List<TokenEvent> expected;
        var events = new List<TokenEvent>();
        InferenceFailedException? failure = null;
        using (var world = new ServingWorld(maxBatchSize: 1).Start())
        {
            expected = await world.AnswerAsync(Long).DefaultTimeout();
            var call = world.Scheduler.Submit(Long);
            var waiting = world.Scheduler.Submit(Long);
            try
            {
                await foreach (var news in call.ReadAllAsync())
                {
                    events.Add(news);
                    world.Scheduler.Drain(TimeSpan.Zero);
                }
            }
            catch (InferenceFailedException exception)
            {
                failure = exception;
            }

            await world.Running.DefaultTimeout();
            Assert.NotNull(failure);
            Assert.Empty((await Assert.ThrowsAsync<InferenceFailedException>(() => ServingWorld.ReadAsync(waiting))).Resumption!.Generated);
            Assert.Equal(2, world.Scheduler.Snapshot().FailedRequests);
        }

        Assert.Equal(events.Select(news => news.TokenId), failure.Resumption!.Generated);
        using var successor = new ServingWorld(worldSize: 2).Start();
        events.AddRange(await successor.AnswerAsync(failure.Resumption).DefaultTimeout());
        Assert.Equal(ServingWorld.Bits(expected), ServingWorld.Bits(events));
    }

    [Fact]
    public async Task Run_RankIsLost_ThrowsAndFailsEverybodyWithWhatContinuesThem()
    {
        using var world = new ServingWorld(worldSize: 2, maxBatchSize: 1).Start();
        var answers = Enumerable.Range(0, 3).Select(_ => world.AnswerAsync(Long)).ToList();
        world.World.Groups[1].Abort("rank 1 was killed");

        await Assert.ThrowsAnyAsync<CollectiveException>(() => world.Running.DefaultTimeout());
        foreach (var answer in answers)
        {
            var failure = await Assert.ThrowsAsync<InferenceFailedException>(() => answer.DefaultTimeout());
            Assert.NotNull(failure.Resumption);
            Assert.IsAssignableFrom<CollectiveException>(failure.InnerException);
        }

        Assert.Equal(3, world.Scheduler.Snapshot().FailedRequests);
    }

    [Fact]
    public async Task Run_OneRowIsNotFinite_FailsAloneAndTheOthersGoOn()
    {
        const int Poison = 200;
        var request = Long with { MaxTokens = 30, LogitBias = new Dictionary<int, float> { [Poison] = -100 } };
        using var healthy = new ServingWorld().Start();
        var expected = ServingWorld.Bits(await healthy.AnswerAsync(request).DefaultTimeout());
        using var world = new ServingWorld(change: checkpoint => checkpoint["tok_embeddings.weight"][Poison * ServingWorld.Config.Dimension] = float.NaN);
        var others = Enumerable.Range(0, 3).Select(_ => world.AnswerAsync(request)).ToList();
        var poisoned = world.AnswerAsync(request with { Prompt = [.. request.Prompt, Poison, 9] });
        world.Start();

        var failure = await Assert.ThrowsAsync<InferenceFailedException>(() => poisoned.DefaultTimeout());

        Assert.Contains("not finite", failure.Message, StringComparison.Ordinal);
        Assert.Null(failure.Resumption);
        foreach (var other in others)
        {
            Assert.Equal(expected, ServingWorld.Bits(await other.DefaultTimeout()));
        }

        Assert.Equal((3L, 1L), (world.Scheduler.Snapshot().FinishedRequests, world.Scheduler.Snapshot().FailedRequests));
    }

    [Fact]
    public async Task Idle_Followers_AreToldThatRank0IsAlive()
    {
        using var world = new ServingWorld(worldSize: 2, options: new SchedulerOptions { KeepAliveInterval = TimeSpan.FromMilliseconds(10) }).Start();

        await Until(() => world.World.Groups[1].Log.Count > 3);
        Assert.Equal(2, (await world.Scheduler.CollectStatisticsAsync().DefaultTimeout()).Length);
        await world.AnswerAsync(Long).DefaultTimeout();
    }

    [Fact]
    public async Task Constraint_DecidesWhichTokensComeAndWhenTheAnswerMayEnd()
    {
        using var world = new ServingWorld().Start();
        var request = Long with { StopTokenIds = [2], LogitBias = new Dictionary<int, float> { [2] = 100, [4] = 90 } };

        var events = await world.AnswerAsync(request with { Constraint = new EvenThenEnd(5) }).DefaultTimeout();
        var sampled = await world.AnswerAsync(request with { Constraint = new EvenThenEnd(5), Temperature = 1.5f }).DefaultTimeout();
        var closed = await world.AnswerAsync(request with { Constraint = new EvenThenEnd(3) { IsClosed = true }, StopTokenIds = [] }).DefaultTimeout();
        var stuck = Assert.ThrowsAsync<InferenceFailedException>(() => world.AnswerAsync(request with { Constraint = new EvenThenEnd(int.MaxValue) { IsClosed = true } }));

        // The stop token is wanted most, and must wait; 4 is next.
        Assert.Equal([4, 4, 4, 4, 4, 2], events.Select(news => news.TokenId));
        Assert.Equal(FinishReason.Stop, events[^1].FinishReason);
        Assert.Equal(6, sampled.Count);
        Assert.Equal([2, 2, 2, -1], closed.Select(news => news.TokenId));
        Assert.Equal(FinishReason.Stop, closed[^1].FinishReason);
        Assert.StartsWith("The response format leaves no token", (await stuck).Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Constraint_InAReplay_IsFedWhatWasGenerated()
    {
        using var world = new ServingWorld().Start();
        var request = Long with { StopTokenIds = [2], LogitBias = new Dictionary<int, float> { [2] = 100 } };
        var events = await world.AnswerAsync(request with { Constraint = new EvenThenEnd(5) }).DefaultTimeout();

        var replayed = await world.AnswerAsync(
            request with { Constraint = new EvenThenEnd(5), Generated = [.. events.Take(2).Select(news => news.TokenId)] }).DefaultTimeout();

        Assert.Equal(ServingWorld.Bits(events.Skip(2)), ServingWorld.Bits(replayed));
    }

    private static ServingRow Row(string name) => new(new InferenceCall(Long with { Client = name[..1], Row = name[1] - '0' }, 4, () => { }), 256, []);

    private static string Name(WaitingQueue queue)
    {
        Assert.True(queue.TryPeek(out var next));
        var row = queue.Dequeue();
        Assert.Same(next, row);
        return $"{row.Call.Request.Client}{row.Call.Request.Row}";
    }

    private static async Task Until(Func<bool> condition)
    {
        for (var round = 0; !condition(); round++)
        {
            Assert.True(round < 6000, "It does not come to this.");
            await Task.Delay(5);
        }
    }

    /// <summary>Even token ids; once there are so many the answer may end.</summary>
    private sealed class EvenThenEnd(int count) : TokenConstraint
    {
        private static readonly ulong[] Even = [.. Enumerable.Repeat(0x5555_5555_5555_5555ul, 2)]; // ids from 128 on are not allowed
        private int _count;

        /// <summary>Whether nothing may come once it may end.</summary>
        public bool IsClosed { get; init; }

        public override bool CanEnd => _count >= count;

        public override ReadOnlySpan<ulong> AllowedTokens() => IsClosed && (CanEnd || _count > 10) ? [] : Even;

        public override void Accept(int tokenId)
        {
            Assert.True(tokenId % 2 == 0 && tokenId < 128);
            _count++;
        }
    }
}
