using Distributed.Engine.Generation;
using Distributed.Engine.Serving;

namespace Distributed.Engine.Tests.Serving;

/// <summary>Many small requests that come, go, stall and are cancelled: nobody is lost and nothing stays behind.</summary>
public sealed class RandomCampaignTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public async Task Campaign_OfTwoThousand_LosesNobodyAndLeavesNothing(int seed)
    {
        const int Count = 2000;
        var random = new Random(seed);
        using var world = new ServingWorld(
            worldSize: seed,
            new SchedulerOptions { MaxQueuedRequests = 40, MaxUnreadEvents = 3, MaxPrefillTokensPerStep = 20 },
            maxBatchSize: 6,
            cacheTokenCount: 5 * 64);
        world.Start();
        var ends = new List<Task<bool>>();
        var refused = 0;
        while (ends.Count < Count)
        {
            var request = new InferenceRequest
            {
                Prompt = ServingWorld.Prompt(random.Next(5), random.Next(1, random.Next(10) == 0 ? 130 : 20)),
                MaxTokens = random.Next(random.Next(10) == 0 ? 70 : 6),
                Temperature = random.Next(2),
                Seed = random.Next(),
                ScorePrompt = random.Next(5) == 0,
                Client = $"{random.Next(3)}",
            };
            try
            {
                ends.Add(ReadAsync(world.Scheduler.Submit(request), random.Next(6), random.Next(4)));
            }
            catch (QueueFullException)
            {
                refused++;
                await Task.Delay(1);
            }
        }

        var finished = 0;
        foreach (var end in ends)
        {
            finished += await end.DefaultTimeout() ? 1 : 0;
        }

        world.Scheduler.Drain(TimeSpan.FromSeconds(30));
        await world.Running.DefaultTimeout();
        var snapshot = world.Scheduler.Snapshot();
        Assert.Equal((Count, refused), (snapshot.AcceptedRequests, snapshot.RefusedRequests));
        Assert.Equal(Count, snapshot.FinishedRequests + snapshot.CancelledRequests);
        Assert.InRange(finished, 1, snapshot.FinishedRequests); // some were given up when they had just ended
        Assert.Equal((0, 0, 0, 0L), (snapshot.UsedBlocks, snapshot.RunningRequests, snapshot.WaitingRequests, snapshot.WaitingTokens));
        Assert.True(snapshot.Preemptions > 0);
    }

    // Reads an answer, slowly or not, or gives it up on the way; true where it has its end.
    private static async Task<bool> ReadAsync(InferenceCall call, int patience, int pace)
    {
        await Task.Yield();
        if (patience == 0)
        {
            call.Dispose();
            return false;
        }

        FinishReason? reason = null;
        await foreach (var news in call.ReadAllAsync())
        {
            Assert.Null(reason);
            reason = news.FinishReason;
            if (patience == 1 && reason is null)
            {
                return false;
            }

            if (pace == 0)
            {
                await Task.Delay(1);
            }
        }

        Assert.NotNull(reason);
        return true;
    }
}
