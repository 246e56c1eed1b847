using Distributed.Engine.Serving;
using Distributed.Engine.Tests.Model;

namespace Distributed.Engine.Tests.Serving;

/// <summary>An answer is a function of its request: alone, in a crowd, behind a reused prefix, preempted, replayed, on any number of ranks.</summary>
public sealed class SameBitsTests
{
    private static readonly Lazy<InferenceRequest[]> Requests = new(MakeRequests);

    // Each alone, on one rank, with nothing before it.
    private static readonly Lazy<string[]> Expected = new(() =>
    {
        using var world = new ServingWorld().Start();
        return [.. Requests.Value.Select((request, number) => ServingWorld.Bits(
            world.AnswerAsync(request with { Client = $"{number}" }).DefaultTimeout().GetAwaiter().GetResult()))];
    });

    [Theory]
    [InlineData("tp=1", 4, 512, 64, null)]
    [InlineData("tp=1", 16, 23, 7, null)]
    [InlineData("tp=2", 5, 100, 100, 448)] // too few blocks for five
    [InlineData("tp=4", 16, 64, 1, 256)] // four blocks for sixteen
    [InlineData("tp=4", 3, 40, 33, null)]
    [InlineData("pp=2", 5, 100, 100, 448)]
    [InlineData("pp=2", 16, 64, 50, null)]
    [InlineData("pp=2,tp=2", 16, 64, 1, 256)]
    [InlineData("pp=2,tp=2", 4, 512, 150, null)]
    public async Task Answers_InACrowd_HaveTheBitsThatEachHasAlone(
        string layout, int maxBatchSize, int maxTokensPerStep, int maxPrefill, int? cacheTokenCount)
    {
        var mesh = PipelineTests.Mesh(layout);
        var random = new Random(mesh.WorldSize + maxBatchSize);
        var options = new SchedulerOptions { MaxPrefillTokensPerStep = maxPrefill };
        using var world = new ServingWorld(
            mesh.WorldSize, options, maxBatchSize: maxBatchSize, maxTokensPerStep: maxTokensPerStep, cacheTokenCount: cacheTokenCount, mesh: mesh);
        world.Start();
        var answers = new List<(int Number, Task<List<TokenEvent>> Events)>();
        foreach (var number in Enumerable.Range(0, 3).SelectMany(_ => Enumerable.Range(0, Requests.Value.Length)).OrderBy(_ => random.Next()))
        {
            if (random.Next(3) == 0)
            {
                await Task.Delay(random.Next(5));
            }

            var call = world.Scheduler.Submit(Requests.Value[number]);
            if (random.Next(4) == 0)
            {
                await Task.Delay(random.Next(3));
                call.Dispose();
            }
            else
            {
                answers.Add((number, ServingWorld.ReadAsync(call)));
            }
        }

        foreach (var (number, events) in answers)
        {
            Assert.Equal(Expected.Value[number], ServingWorld.Bits(await events.DefaultTimeout()));
        }

        world.Scheduler.Drain(TimeSpan.FromSeconds(30));
        await world.Running.DefaultTimeout();
        var snapshot = world.Scheduler.Snapshot();
        Assert.True(snapshot.CachedPromptTokens > 0, "No prefix was reused.");
        Assert.Equal(cacheTokenCount is not null, snapshot.Preemptions > 0);
        Assert.Equal(snapshot.AcceptedRequests, snapshot.FinishedRequests + snapshot.CancelledRequests);
    }

    [Fact]
    public async Task Answer_ReusedPrefix_SkipsWholeBlocksOfTheSameClientOnly()
    {
        using var world = new ServingWorld().Start();
        var request = Requests.Value[0] with { Prompt = ServingWorld.Prompt(9, 150), Client = "a" };
        var first = world.Scheduler.Submit(request);
        var expected = ServingWorld.Bits(await ServingWorld.ReadAsync(first).DefaultTimeout());

        var second = world.Scheduler.Submit(request);
        Assert.Equal(expected, ServingWorld.Bits(await ServingWorld.ReadAsync(second).DefaultTimeout()));
        var other = world.Scheduler.Submit(request with { Client = "b" });
        Assert.Equal(expected, ServingWorld.Bits(await ServingWorld.ReadAsync(other).DefaultTimeout()));
        var shorter = world.Scheduler.Submit(request with { Prompt = request.Prompt[..128] }); // one token must run to tell the next
        await ServingWorld.ReadAsync(shorter).DefaultTimeout();

        Assert.Equal([0, 128, 0, 64], new[] { first, second, other, shorter }.Select(call => call.CachedTokenCount));
        Assert.Equal(192, world.Scheduler.Snapshot().CachedPromptTokens);
    }

    [Fact]
    public async Task Answers_WhosePromptsComeTogether_AreReadOnce()
    {
        var request = new InferenceRequest { Prompt = ServingWorld.Prompt(9, 150), MaxTokens = 5, Seed = 3, StopTokenIds = [] };
        var expected = new List<string>();
        using (var alone = new ServingWorld().Start())
        {
            foreach (var row in Enumerable.Range(0, 4))
            {
                expected.Add(ServingWorld.Bits(await alone.AnswerAsync(request with { Row = row, Client = $"{row}" }).DefaultTimeout()));
            }
        }

        using var world = new ServingWorld(worldSize: 2, new SchedulerOptions { MaxPrefillTokensPerStep = 50 });
        var calls = Enumerable.Range(0, 4).Select(row => world.Scheduler.Submit(request with { Row = row })).ToList();
        var answers = calls.Select(ServingWorld.ReadAsync).ToList();
        world.Start();
        foreach (var (row, answer) in answers.Index())
        {
            Assert.Equal(expected[row], ServingWorld.Bits(await answer.DefaultTimeout()));
        }

        world.Scheduler.Drain(TimeSpan.FromSeconds(30));
        await world.Running.DefaultTimeout();
        Assert.Equal([0, 128, 128, 128], calls.Select(call => call.CachedTokenCount));
        Assert.Equal(150 + (3 * 22) + (4 * 4), world.Scheduler.Snapshot().StepTokens);
    }

    [Fact]
    public async Task Answer_TheConversationGoesOn_ReusesAnswersToo()
    {
        using var world = new ServingWorld().Start();
        var request = Requests.Value[0] with { Prompt = ServingWorld.Prompt(9, 60), MaxTokens = 80 };
        var events = await world.AnswerAsync(request).DefaultTimeout();
        int[] next = [.. request.Prompt, .. events.SkipLast(1).Select(news => news.TokenId), .. ServingWorld.Prompt(10, 5)];

        using var call = world.Scheduler.Submit(request with { Prompt = [.. next] });
        var reused = ServingWorld.Bits(await ServingWorld.ReadAsync(call).DefaultTimeout());

        Assert.Equal(128, call.CachedTokenCount);
        using var fresh = new ServingWorld().Start();
        Assert.Equal(ServingWorld.Bits(await fresh.AnswerAsync(request with { Prompt = [.. next] }).DefaultTimeout()), reused);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public async Task Answer_ReplayedBehindItsFirstTokens_GoesOnWithTheSameBits(int worldSize)
    {
        using var world = new ServingWorld(worldSize).Start();
        foreach (var request in Requests.Value.Where(request => !request.ScorePrompt && !request.StopTokenIds.IsDefault))
        {
            var events = await world.AnswerAsync(request).DefaultTimeout();
            foreach (var count in (int[])[1, 7, events.Count - 2, events.Count - 1])
            {
                var replay = request with { Generated = [.. events.Take(count).Select(news => news.TokenId)] };

                Assert.Equal(ServingWorld.Bits(events.Skip(count)), ServingWorld.Bits(await world.AnswerAsync(replay).DefaultTimeout()));
            }
        }
    }

    private static InferenceRequest[] MakeRequests()
    {
        var shared = ServingWorld.Prompt(100, 140);
        InferenceRequest Sampled(int number, params int[] prompt) => new()
        {
            Prompt = [.. prompt],
            MaxTokens = 20 + (number * 3),
            Temperature = 1.1f,
            TopP = 0.95f,
            Seed = number,
            Row = number,
            StopTokenIds = [],
        };

        var requests = new List<InferenceRequest>();
        for (var number = 0; number < 4; number++)
        {
            var shorter = ServingWorld.Prompt(number, 3 + (number * 30));
            int[] longer = [.. shared[..(70 + (number * 20))], .. shorter];
            requests.Add(Sampled(number, [.. shorter]) with { Temperature = 0 });
            requests.Add(Sampled(number, longer) with { TopP = number % 2 == 0 ? 1 : 0.9f, TopLogprobs = 5, StopTokenIds = default });
            requests.Add(Sampled(number, longer) with
            {
                FrequencyPenalty = 0.5f,
                PresencePenalty = 0.5f,
                LogitBias = new Dictionary<int, float> { [7] = 2, [number] = -100 },
            });
            requests.Add(Sampled(number, [.. shorter]) with { ScorePrompt = true, TopLogprobs = 20, MaxTokens = number * 10 });
        }

        return [.. requests];
    }
}
