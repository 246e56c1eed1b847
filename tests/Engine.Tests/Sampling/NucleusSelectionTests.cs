using Distributed.Engine.Kernels;
using Distributed.Engine.Sampling;

namespace Distributed.Engine.Tests.Sampling;

/// <summary>A draw without sorting is the draw of the walk over the sorted row.</summary>
public sealed unsafe class NucleusSelectionTests
{
    private static readonly float[] TopPs = [0, 1e-6f, 0.1f, 0.5f, 0.9f, 0.95f, 0.999f];
    private static readonly double[] Units = [1e-15, 0.01, 0.3, 0.7, 0.999, 1 - 1e-15];

    [Theory]
    [InlineData(20_000, 1e-3)] // of like probability
    [InlineData(20_000, 1)]
    [InlineData(20_000, 4)]
    [InlineData(65, 2)]
    [InlineData(3, 1)]
    [InlineData(1, 1)]
    public void TryDraw_RandomRow_IsTheTokenOfTheWalk(int length, double scale)
    {
        var random = new Random(length);
        var row = Enumerable.Range(0, length).Select(_ => (float)((random.NextDouble() + random.NextDouble() + random.NextDouble() - 1.5) * scale)).ToArray();

        Compare(row, 1);
        Compare(row, 0.7f);
    }

    [Fact]
    public void TryDraw_RowOfFewValues_TakesEqualLogitsByTheirIds()
    {
        var random = new Random(3);
        float[] values = [2, 1, 0, -0f, -1, -2];
        var row = Enumerable.Range(0, 30_000).Select(_ => values[random.Next(values.Length)]).ToArray();

        Compare(row, 1);
        Compare([.. Enumerable.Repeat(1.5f, 5000)], 1);
    }

    /// <summary>A few probable tokens and a long tail of some that are not: the tail is the walk's where sums would be rounded.</summary>
    [Fact]
    public void TryDraw_NucleusWithTinyProbabilities_IsLeftToTheWalk()
    {
        var row = Enumerable.Range(0, 5000).Select(id => id < 10 ? 20f : -3f - (id / 5000f)).ToArray();

        Assert.True(Draw(row, 1, 0.85f, 0.5) is { TokenId: < 10 });
        Assert.Null(Draw(row, 1, 0.99999999f, 0.5));
    }

    [Fact]
    public void TryDraw_ForbiddenTokens_AreNeverDrawn()
    {
        var row = Enumerable.Range(0, 5000).Select(id => id % 3 == 0 ? (id % 7) * 0.01f : float.NegativeInfinity).ToArray();

        foreach (var unit in Units)
        {
            Assert.Equal(0, Draw(row, 1, 0.9f, unit)!.Value.TokenId % 3);
        }
    }

    private static void Compare(float[] row, float temperature)
    {
        foreach (var topP in TopPs)
        {
            foreach (var unit in Units)
            {
                // Of one token there is nothing to end at: the walk comes to the end of the row.
                Assert.True(Draw(row, temperature, topP, unit) is { } drawn ? drawn == Walk(row, temperature, topP, unit) : row.Length < 100, $"top-p {topP}, unit {unit}");
            }
        }
    }

    private static (int TokenId, float Logit)? Draw(float[] row, float temperature, float topP, double unit)
        => new NucleusSelection(KernelSet.Best).TryDraw(row, Begin(row, temperature, topP), unit, out var drawn) ? drawn : null;

    private static (int TokenId, float Logit) Walk(float[] row, float temperature, float topP, double unit)
    {
        var nucleus = Begin(row, temperature, topP);
        var order = new DescendingOrder();
        order.Begin(row);
        for (var next = order.Next(); !next.IsEmpty; next = order.Next())
        {
            foreach (var tokenId in next)
            {
                if (!nucleus.TryAdd(tokenId, row[tokenId]))
                {
                    return nucleus.Draw(unit);
                }
            }
        }

        return nucleus.Draw(unit);
    }

    private static Nucleus Begin(float[] row, float temperature, float topP)
    {
        var nucleus = new Nucleus();
        fixed (float* logits = row)
        {
            nucleus.Begin(temperature, row.Max() / temperature, KernelSet.Best.Summarize(logits, row.Length, temperature).ScaledSum, topP);
        }

        return nucleus;
    }
}
