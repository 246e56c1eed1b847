using Distributed.Engine.Kernels;
using Distributed.Engine.Serving;

namespace Distributed.Engine.Tests.Serving;

/// <summary>Prefixes, preemption and ranks with keys and values, or the activations of products, in fewer bits: what is reused or computed again is what was there.</summary>
public sealed class NarrowCacheTests
{
    [Theory]
    [InlineData(CacheFormat.BFloat16)]
    [InlineData(CacheFormat.Int8)]
    [InlineData(CacheFormat.Float32, MatmulPrecision.Medium)]
    public async Task Answers_InACrowdWithFewBlocks_HaveTheBitsThatEachHasAlone(CacheFormat format, MatmulPrecision precision = MatmulPrecision.Highest)
    {
        var requests = Enumerable.Range(0, 8).Select(number => new InferenceRequest
        {
            // Half of them begin alike.
            Prompt = [.. ServingWorld.Prompt(number % 2 == 0 ? 1 : number, 70), .. ServingWorld.Prompt(100 + number, 5)],
            MaxTokens = 120,
            Seed = number,
            StopTokenIds = [],
        }).ToArray();
        var expected = new List<string>();
        foreach (var request in requests)
        {
            using var alone = new ServingWorld(cacheFormat: format, precision: precision).Start();
            expected.Add(ServingWorld.Bits(await alone.AnswerAsync(request).DefaultTimeout()));
        }

        using var world = new ServingWorld(worldSize: 2, maxBatchSize: 8, maxTokensPerStep: 60, cacheTokenCount: 512, cacheFormat: format, precision: precision).Start();
        var answers = requests.Select(request => world.AnswerAsync(request)).ToArray();

        for (var number = 0; number < requests.Length; number++)
        {
            Assert.Equal(expected[number], ServingWorld.Bits(await answers[number].DefaultTimeout()));
        }

        var snapshot = world.Scheduler.Snapshot();
        Assert.True(snapshot.CachedPromptTokens > 0, "No prefix was reused.");
        Assert.True(snapshot.Preemptions > 0, "Nothing was preempted.");
    }
}
