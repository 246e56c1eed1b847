using System.Globalization;

namespace Distributed.EndToEnd.Tests;

/// <summary>The numbers of the whole path, processes and all, are those of Meta's reference, and the same bytes however they are computed.</summary>
public sealed class GoldenTests : IDisposable
{
    private readonly Distrun _distrun = new();

    public void Dispose() => _distrun.Dispose();

    [SharedDataFact("stories260k/golden")]
    public async Task Complete_EveryGoldenCaseOnOneRank_IsTheReferences()
    {
        // One run for all cases that have their options in common.
        foreach (var cases in Stories.Golden().GroupBy(one => (one.MaxGenLen, one.Echo, one.EosId, one.HasLogProbabilities)))
        {
            await RequireGolden(worldSize: 1, [.. cases]);
        }
    }

    [SharedDataFact("stories260k/golden")]
    public async Task Complete_RowsThatEndAtDifferentTimesOnTwoRanks_AreTheReferences()
        => await RequireGolden(worldSize: 2, [Stories.Golden().Single(one => one.Name == "eos-newline")]);

    /// <summary>Every greedy case that ends by length is a part of its prompt's longest one; so few starts of several ranks hold them all.</summary>
    [SharedDataFact("stories260k/golden")]
    public async Task Complete_AnyWorldAndBatchSize_GivesTheReferencesTokensInTheSameBytes()
    {
        var cases = Stories.Golden().Where(one => one.EosId == 2 && one.MaxGenLen <= 64).ToArray();
        var prompts = cases.SelectMany(one => one.Items).Select(item => item.Prompt).Distinct().ToArray();
        var texts = new List<string>();
        foreach (var (worldSize, batchSize) in new[] { (1, 1), (1, prompts.Length), (2, 4), (4, prompts.Length) })
        {
            var launch = await _distrun.Complete(
                worldSize, prompts, "--temperature", "0", "--logprobs", "--echo", "--max-batch-size", Text(batchSize));
            var document = ResultsDocument.Parse(launch);
            Assert.Equal(worldSize, document.WorldSize);
            Assert.Equal(prompts, document.Results.Select(result => result.Prompt));
            foreach (var one in cases)
            {
                Array.ForEach(one.Items, item => RequirePart(one, item, document.Results[Array.IndexOf(prompts, item.Prompt)]));
            }

            texts.Add(ResultsDocument.ResultsText(launch));
        }

        Assert.Single(texts.Distinct());
    }

    [SharedDataFact("stories260k/golden")]
    public async Task Complete_Sampled_GivesTheSameBytesOnOneRankAndOnTwo()
    {
        string[] prompts = ["Once upon a time", "", "Tom and Sue", "café 😀"];
        var texts = new List<string>();
        foreach (var (worldSize, batchSize, seed) in new[] { (1, 4, 7), (2, 3, 7), (1, 4, 8) })
        {
            var launch = await _distrun.Complete(
                worldSize, prompts, "--temperature", "0.9", "--top-p", "0.8", "--seed", Text(seed), "--logprobs", "--max-gen-len", "20",
                "--max-batch-size", Text(batchSize));
            texts.Add(ResultsDocument.ResultsText(launch));
        }

        Assert.Equal(texts[0], texts[1]);
        Assert.NotEqual(texts[0], texts[2]); // another seed, another text
    }

    private async Task RequireGolden(int worldSize, GoldenCase[] cases)
    {
        var items = cases.SelectMany(one => one.Items.Select(item => (one.Name, Item: item))).ToArray();
        string[] switches = [.. cases[0].Echo ? ["--echo"] : Array.Empty<string>(), .. cases[0].HasLogProbabilities ? ["--logprobs"] : Array.Empty<string>()];
        var launch = await _distrun.Complete(
            worldSize,
            items.Select(item => item.Item.Prompt),
            ["--temperature", "0", "--max-gen-len", Text(cases[0].MaxGenLen), "--stop-token-ids", Text(cases[0].EosId), .. switches]);
        var document = ResultsDocument.Parse(launch);

        Assert.Equal(worldSize, document.WorldSize);
        Assert.Equal(worldSize, document.Stats.PeakRssBytes.Length);
        Assert.All(document.Stats.PeakRssBytes, bytes => Assert.InRange(bytes, 1 << 20, 1L << 40));
        Assert.InRange(document.Stats.LoadSeconds, double.Epsilon, 3600);
        Assert.Equal(items.Length, document.Results.Count);
        foreach (var ((name, item), result) in items.Zip(document.Results))
        {
            Assert.Equal((item.Prompt, item.Text), (result.Prompt, string.Concat(result.TokenStrings)));
            Assert.Equal(item.PromptTokens, result.PromptTokens);
            item.RequireEqual(name, result.Tokens, result.Logprobs, result.Text);

            // A row stops where the reference found its stop token: before it had all that was asked for and that fits.
            var newCount = result.Tokens.Length - (cases[0].Echo ? item.PromptTokens.Length : 0);
            var isFull = newCount == Math.Min(cases[0].MaxGenLen, 256 - item.PromptTokens.Length);
            Assert.Equal(isFull ? "length" : "stop", result.FinishReason);
        }
    }

    // The result echoes the prompt and generates 64 tokens; the case has a part of that.
    /// <summary>The case is a part of its prompt's result.</summary>
    internal static void RequirePart(GoldenCase one, GoldenCase.Item item, ResultsDocument.Result result)
    {
        var range = one.Echo ? ..item.Tokens.Length : item.PromptTokens.Length..(item.PromptTokens.Length + item.Tokens.Length);
        Assert.Equal(item.PromptTokens, result.PromptTokens);
        item.RequireEqual(one.Name, result.Tokens[range], one.HasLogProbabilities ? result.Logprobs![range] : null, text: null);
    }

    private static string Text(int number) => number.ToString(CultureInfo.InvariantCulture);
}
