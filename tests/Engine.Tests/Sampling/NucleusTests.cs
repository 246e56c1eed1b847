using System.Text.Json;
using Distributed.Engine.Sampling;

namespace Distributed.Engine.Tests.Sampling;

/// <summary>inference.md lines 21 and 22: the reference's top-p rule.</summary>
public sealed class NucleusTests
{
    [SharedDataFact("stories260k/top_p.json")]
    public void TryAdd_EveryReferenceCase_KeepsTheSameTokensInTheSameOrder()
    {
        using var document = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(Repository.SharedData, "stories260k", "top_p.json")));
        foreach (var item in document.RootElement.EnumerateArray())
        {
            var probabilities = item.GetProperty("probs").Deserialize<float[]>()!;
            var sortedIds = item.GetProperty("sorted_ids").Deserialize<int[]>()!;
            var filtered = item.GetProperty("filtered").Deserialize<float[]>()!;

            var order = Walk(new DescendingOrder(), probabilities);
            var kept = Kept(probabilities, order, item.GetProperty("p").GetSingle());

            Assert.Equal(sortedIds, order);
            Assert.Equal(filtered.Count(probability => probability > 0), kept.Length);
            var mass = kept.Sum(id => (double)probabilities[id]);
            Assert.All(kept.Index(), token => Assert.Equal(filtered[token.Index], probabilities[token.Item] / mass, 1e-7));
        }
    }

    [Theory]
    [InlineData(0f, 1)] // only the top token
    [InlineData(0.4f, 1)]
    [InlineData(0.5f, 2)] // the mass before the second token is 0.5, not more: on exact equality one more is kept
    [InlineData(0.6f, 2)]
    [InlineData(0.75f, 3)]
    [InlineData(1f, 4)]
    public void TryAdd_HalvesQuartersEighths_KeepsTheTokenThatCrosses(float topP, int count)
        => Assert.Equal(count, Kept([0.5f, 0.25f, 0.125f, 0.125f], [0, 1, 2, 3], topP).Length);

    [Fact]
    public void Draw_ManyUnits_FollowsTheRenormalisedProbabilities()
    {
        float[] probabilities = [0.4f, 0.3f, 0.2f, 0.1f];
        var nucleus = new Nucleus();
        nucleus.Begin(1, 0, 1, topP: 0.8f); // keeps 0.4, 0.3, 0.2
        for (var id = 0; id < probabilities.Length && nucleus.TryAdd(id, 10f - id, probabilities[id]); id++)
        {
        }

        var counts = new int[4];
        for (var step = 0; step < 9000; step++)
        {
            var (tokenId, logit) = nucleus.Draw((step + 0.5) / 9000);
            Assert.Equal(10f - tokenId, logit);
            counts[tokenId]++;
        }

        Assert.Equal([4000, 3000, 2000, 0], counts);
    }

    [Fact]
    public void Draw_ExtremeUnits_NeverChoosesATokenOfNoProbability()
    {
        var nucleus = new Nucleus();
        nucleus.Begin(1, 0, 1, topP: 1);
        foreach (var (id, probability) in new[] { 0.75f, 0.25f, 0f, 0f }.Index())
        {
            Assert.True(nucleus.TryAdd(id, 0, probability));
        }

        Assert.Equal(1, nucleus.Draw(1 - Math.Pow(2, -51)).TokenId);
        Assert.Equal(0, nucleus.Draw(Math.Pow(2, -51)).TokenId);
    }

    [Fact]
    public void TryAdd_ByLogits_IsSoftmaxWithTemperature()
    {
        float[] logits = [2f, 1f, -1f];
        const float Temperature = 0.5f;
        var exponents = logits.Select(logit => Math.Exp((logit / Temperature) - 4)).ToArray();
        var nucleus = new Nucleus();
        nucleus.Begin(Temperature, maximum: 4, sum: (float)exponents.Sum(), topP: 1);
        foreach (var (id, logit) in logits.Index())
        {
            nucleus.TryAdd(id, logit);
        }

        var border = exponents[0] / exponents.Sum(); // between the first token and the second
        Assert.Equal(0, nucleus.Draw(border - 1e-5).TokenId);
        Assert.Equal(1, nucleus.Draw(border + 1e-5).TokenId);
    }

    [Fact]
    public void Walk_RowWithTiesAndZeros_IsDescendingThenById()
    {
        float[] logits = [-1f, 3f, 0f, -0f, 3f, float.MinValue, 1e-40f];

        Assert.Equal([1, 4, 6, 2, 3, 0, 5], Walk(new DescendingOrder(), logits));
    }

    [Fact]
    public void Walk_ShorterRowAfterALongerOneThatWasLeft_ForgetsTheLongerOne()
    {
        var order = new DescendingOrder();
        order.Begin([1f, 2f, 3f, 4f]);
        order.Next();

        Assert.Equal([1, 0], Walk(order, [5f, 6f]));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(1000)]
    [InlineData(40_000)]
    public void Walk_RandomRow_IsTheSortedRow(int length)
    {
        var random = new Random(length);
        var logits = Enumerable.Range(0, length).Select(_ => (float)((random.NextDouble() - 0.4) * Math.Pow(10, random.Next(-3, 3)))).ToArray();
        logits[^1] = float.NegativeInfinity;

        Assert.Equal(Enumerable.Range(0, length).OrderByDescending(id => logits[id]).ThenBy(id => id), Walk(new DescendingOrder(), logits));
    }

    private static int[] Walk(DescendingOrder order, float[] logits)
    {
        var all = new List<int>();
        order.Begin(logits);
        for (var next = order.Next(); !next.IsEmpty; next = order.Next())
        {
            all.AddRange(next);
        }

        return [.. all];
    }

    private static int[] Kept(float[] probabilities, int[] order, float topP)
    {
        var nucleus = new Nucleus();
        nucleus.Begin(temperature: 1, maximum: 0, sum: 1, topP);
        return [.. order.TakeWhile(id => nucleus.TryAdd(id, 0, probabilities[id]))];
    }
}
