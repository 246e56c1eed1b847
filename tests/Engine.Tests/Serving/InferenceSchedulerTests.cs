using Distributed.Engine.Generation;
using Distributed.Engine.Serving;

namespace Distributed.Engine.Tests.Serving;

/// <summary>One request at a time: what it gets, and what is refused.</summary>
public sealed class InferenceSchedulerTests
{
    private static readonly InferenceRequest Plain = new() { Prompt = ServingWorld.Prompt(1, 20), MaxTokens = 12, Temperature = 0, StopTokenIds = [] };

    [Theory]
    [InlineData(0f, 0.9f)]
    [InlineData(1.1f, 0.95f)]
    [InlineData(1f, 1f)]
    public async Task Submit_Prompt_IsContinuedAsTheGeneratorDoes(float temperature, float topP)
    {
        using var world = new ServingWorld();
        var generated = new LlamaGenerator(world.World.Model, world.World.Leader, AnyTokenizer()).Generate(
            [Plain.Prompt],
            new GenerationOptions
            {
                Temperature = temperature,
                TopP = topP,
                Seed = 5,
                MaxGenerationLength = 12,
                LogProbabilities = true,
                Echo = true,
                StopTokenIds = [],
            })[0];

        var events = await world.Start().AnswerAsync(Plain with { Temperature = temperature, TopP = topP, Seed = 5, ScorePrompt = true }).DefaultTimeout();

        Assert.Equal(generated.Tokens, events.SkipLast(1).Select(news => news.TokenId));
        Assert.Equal(generated.LogProbabilities!.Skip(1), events.Skip(1).SkipLast(1).Select(news => news.LogProbability!.Value));
        Assert.Null(events[0].LogProbability);
        Assert.Equal(Enumerable.Range(0, 33), events.Select(news => news.Position));
        Assert.Equal(20, events.Count(news => news.IsPrompt));
        Assert.Equal((FinishReason.Length, -1), (events[^1].FinishReason, events[^1].TokenId));
        Assert.All(events.SkipLast(1), news => Assert.Null(news.FinishReason));
    }

    [Fact]
    public async Task Submit_StopToken_EndsTheAnswerBeforeIt()
    {
        using var world = new ServingWorld().Start();
        var free = await world.AnswerAsync(Plain).DefaultTimeout();

        var stopped = await world.AnswerAsync(Plain with { StopTokenIds = [free[5].TokenId] }).DefaultTimeout();

        var before = free.TakeWhile(news => news.TokenId != free[5].TokenId).ToList();
        Assert.Equal(ServingWorld.Bits(before), ServingWorld.Bits(stopped.SkipLast(1)));
        Assert.Equal((FinishReason.Stop, free[5].TokenId), (stopped[^1].FinishReason, stopped[^1].TokenId));
    }

    [Fact]
    public async Task Submit_NoTokensWanted_ScoresThePromptOrEndsAtOnce()
    {
        using var world = new ServingWorld().Start();
        var longer = await world.AnswerAsync(Plain with { ScorePrompt = true, TopLogprobs = 3 }).DefaultTimeout();

        var scored = await world.AnswerAsync(Plain with { ScorePrompt = true, TopLogprobs = 3, MaxTokens = 0 }).DefaultTimeout();
        var nothing = await world.AnswerAsync(Plain with { MaxTokens = 0 }).DefaultTimeout();

        Assert.Equal(ServingWorld.Bits(longer.Take(20)), ServingWorld.Bits(scored.SkipLast(1)));
        Assert.Equal((FinishReason.Length, 20), (scored[^1].FinishReason, scored[^1].Position));
        Assert.Equal(FinishReason.Length, Assert.Single(nothing).FinishReason);
    }

    [Fact]
    public async Task Submit_TopLogprobs_AreTheGreatestOfAllAndHoldTheGreedyToken()
    {
        using var world = new ServingWorld().Start();

        var events = await world.AnswerAsync(Plain with { TopLogprobs = 20, ScorePrompt = true }).DefaultTimeout();

        Assert.Empty(events[0].Alternatives);
        foreach (var news in events.Skip(1).SkipLast(1))
        {
            Assert.Equal(20, news.Alternatives.Length);
            Assert.Equal(news.Alternatives.OrderByDescending(other => other.LogProbability), news.Alternatives);
            Assert.InRange(news.Alternatives.Sum(other => Math.Exp(other.LogProbability)), 0.01, 1.0001);
            Assert.InRange(news.LogProbability!.Value, float.MinValue, news.Alternatives[0].LogProbability);
        }

        Assert.All(events.Where(news => !news.IsPrompt).SkipLast(1), news => Assert.Equal(
            (news.TokenId, news.LogProbability!.Value), (news.Alternatives[0].TokenId, news.Alternatives[0].LogProbability)));
    }

    [Fact]
    public async Task Submit_BiasAndPenalties_ChangeWhatIsChosenAndNotItsProbability()
    {
        using var world = new ServingWorld().Start();
        var free = await world.AnswerAsync(Plain with { TopLogprobs = 2 }).DefaultTimeout();
        var second = free[0].Alternatives[1];

        var biased = await world.AnswerAsync(Plain with { LogitBias = new Dictionary<int, float> { [free[0].TokenId] = -100 } }).DefaultTimeout();
        var pushed = await world.AnswerAsync(Plain with { LogitBias = new Dictionary<int, float> { [77] = 100 } }).DefaultTimeout();
        var penalized = await world.AnswerAsync(
            Plain with { LogitBias = new Dictionary<int, float> { [77] = 20 }, PresencePenalty = 2, FrequencyPenalty = 2, MaxTokens = 40 }).DefaultTimeout();

        Assert.Equal((second.TokenId, second.LogProbability), (biased[0].TokenId, biased[0].LogProbability!.Value));
        Assert.All(pushed.SkipLast(1), news => Assert.Equal(77, news.TokenId));
        Assert.All(pushed.SkipLast(1), news => Assert.InRange(news.LogProbability!.Value, -100, -0.5f)); // the model's own opinion of it
        Assert.InRange(penalized.Count(news => news.TokenId == 77), 4, 15); // 20 are spent at 2 a time
    }

    [Fact]
    public void Submit_WhatCannotRun_IsRefusedWithASentence()
    {
        using var world = new ServingWorld(maxSequenceLength: 32);
        Check("The prompt has no tokens", Plain with { Prompt = [] });
        Check("The prompt is missing", Plain with { Prompt = default });
        Check("The prompt has 33 tokens but max_seq_len is 32", Plain with { Prompt = ServingWorld.Prompt(1, 33) });
        Check("The prompt has token id 264", Plain with { Prompt = [264] });
        Check("temperature is -1", Plain with { Temperature = -1 });
        Check("top_p is NaN", Plain with { TopP = float.NaN });
        Check("frequency_penalty is 2.5", Plain with { FrequencyPenalty = 2.5f });
        Check("presence_penalty is NaN", Plain with { PresencePenalty = float.NaN });
        Check("logit_bias names token id 264", Plain with { LogitBias = new Dictionary<int, float> { [264] = 1 } });
        Check("logit_bias of token id 1 is 101", Plain with { LogitBias = new Dictionary<int, float> { [1] = 101 } });
        Check("top_logprobs is 21", Plain with { TopLogprobs = 21 });
        Check("max_tokens is -1", Plain with { MaxTokens = -1 });
        Check("The answer so far has 13 tokens", Plain with { Prompt = [1], Generated = ServingWorld.Prompt(1, 13) });
        Check("The answer so far has token id -1", Plain with { Generated = [-1] });
        Assert.Equal(0, world.Scheduler.Snapshot().AcceptedRequests);

        void Check(string start, InferenceRequest request)
            => Assert.StartsWith(start, Assert.Throws<GenerationException>(() => world.Scheduler.Submit(request)).Message, StringComparison.Ordinal);
    }

    private static Engine.Tokenizers.Tokenizer AnyTokenizer() => Engine.Tokenizers.Tokenizer.Load(Path.Combine(Repository.DemoCheckpoint, "tokenizer.model"));
}
