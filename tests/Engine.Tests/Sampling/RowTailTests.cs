using Distributed.Engine.Kernels;
using Distributed.Engine.Sampling;

namespace Distributed.Engine.Tests.Sampling;

/// <summary>Draws behind the candidates.</summary>
public sealed unsafe class RowTailTests
{
    private const int CandidateCount = 64;

    [Theory]
    [InlineData(1300, 0.7f)]
    [InlineData(2048, 1f)]
    [InlineData(100, 2f)]
    public void Draw_AnyUnit_IsTheTokenWithWhichTheMassExceedsIt(int length, float temperature)
    {
        var random = new Random(length);
        var row = Enumerable.Range(0, length).Select(_ => random.NextSingle() * 3).ToArray();
        row[5] = row[^1] = float.NegativeInfinity; // a constraint forbids these
        var (nucleus, candidates) = Begin(row, temperature);
        var tail = new RowTail(KernelSet.Best);
        var order = candidates.Concat(Enumerable.Range(0, length).Except(candidates)).ToArray();
        var ends = new double[length]; // [place in the order]
        for (var place = 0; place < length; place++)
        {
            ends[place] = (place == 0 ? 0 : ends[place - 1]) + nucleus.ProbabilityOf(row[order[place]]);
        }

        var drawn = new HashSet<int>();
        for (var step = 0; step < 5000; step++)
        {
            var unit = nucleus.Mass + ((ends[^1] - nucleus.Mass) * (step + 0.5) / 5000);
            var (tokenId, logit) = tail.Draw(row, candidates, nucleus, unit);
            var place = Array.IndexOf(order, tokenId);

            Assert.Equal(row[tokenId], logit);
            Assert.True(place >= CandidateCount && ends[place] > unit - 1e-6 && ends[place - 1] < unit + 1e-6, $"unit {unit}: token {tokenId}");
            drawn.Add(tokenId);
        }

        Assert.True(drawn.Count > Math.Min(length - CandidateCount - 2, 1000) * 0.9);
        Assert.False(drawn.Contains(5) || drawn.Contains(length - 1));
    }

    [Fact]
    public void Draw_UnitThatRoundingLeavesAbove_IsTheLastTokenOfAnyProbability()
    {
        var row = Enumerable.Repeat(1f, 1000).ToArray();
        row[999] = -1000; // its probability is 0
        var (nucleus, candidates) = Begin(row, 1);
        Assert.Equal((998, 1f), new RowTail(KernelSet.Best).Draw(row, candidates, nucleus, 1.5));
    }

    [Fact]
    public void Draw_NothingBehindTheCandidates_IsNoToken()
    {
        var row = Enumerable.Repeat(float.NegativeInfinity, 600).ToArray();
        row.AsSpan(0, CandidateCount).Fill(2);
        var (nucleus, candidates) = Begin(row, 1);
        Assert.Equal(-1, new RowTail(KernelSet.Best).Draw(row, candidates, nucleus, 1 - 1e-16).TokenId);
    }

    private static (Nucleus Nucleus, int[] Candidates) Begin(float[] row, float temperature)
    {
        var candidates = Enumerable.Range(0, row.Length).OrderByDescending(id => row[id]).ThenBy(id => id).Take(CandidateCount).ToArray();
        var nucleus = new Nucleus();
        fixed (float* logits = row)
        {
            nucleus.Begin(temperature, row.Max() / temperature, KernelSet.Best.Summarize(logits, row.Length, temperature).ScaledSum, topP: 1);
        }

        Assert.All(candidates, candidate => Assert.True(nucleus.TryAdd(candidate, row[candidate])));
        return (nucleus, candidates);
    }
}
