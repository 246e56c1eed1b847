using Distributed.Engine.Generation;
using Distributed.Engine.Kernels;
using Distributed.Engine.Model;
using Distributed.Engine.Parallel;

namespace Distributed.Engine.Tests.Generation;

/// <summary>Choosing from candidates and from the whole row.</summary>
public sealed class TokenChoiceTests
{
    private const int CandidateCount = 64;

    // No test below lets it ask a leader: where the candidates do not do, the row is there.
    private readonly TokenChoice _choice = new(leader: null, KernelSet.Best);

    [Theory]
    [InlineData(0.7f, 0.9f, 1.5)] // the nucleus lies among the candidates
    [InlineData(1f, 0.9f, 0.3)] // it does not
    [InlineData(2f, 0.999f, 1.5)]
    public void Choose_FromCandidatesOrFromTheRow_IsTheSameToken(float temperature, float topP, double spread)
    {
        var random = new Random(1);
        var options = Sampling(temperature, topP);
        var chosen = new HashSet<int>();
        for (var position = 0; position < 300; position++)
        {
            var row = Enumerable.Range(0, 500).Select(_ => (float)(spread * Normal(random) * 2)).ToArray();
            row[17] = row[400] = row.Max(); // a tie
            var candidates = row.Select((logit, id) => new LogitCandidate(id, logit))
                .OrderByDescending(candidate => candidate.Logit).ThenBy(candidate => candidate.TokenId).Take(CandidateCount).ToArray();

            var fromRow = Choose(row, [], row, options, position);
            var fromCandidates = Choose(row, candidates, row, options, position);

            Assert.Equal(fromRow, fromCandidates);
            Assert.Equal(row[fromRow.TokenId], fromRow.Logit);
            chosen.Add(fromRow.TokenId);
        }

        Assert.True(chosen.Count > 20);
    }

    [Fact]
    public void Choose_NucleusAmongTheCandidates_NeedsNoRow()
    {
        float[] row = [5, 4, 1, 0, -1, -2];
        LogitCandidate[] candidates = [new(0, 5), new(1, 4), new(2, 1)];

        var (tokenId, logit) = Choose(row, candidates, row: [], Sampling(1, 0.9f), position: 3);

        Assert.InRange(tokenId, 0, 1);
        Assert.Equal(row[tokenId], logit);
    }

    [Theory]
    [InlineData(0f, 0.9f, LogitsDetail.Best)]
    [InlineData(0.6f, 0f, LogitsDetail.Best)]
    [InlineData(0.6f, 0.9f, LogitsDetail.Candidates)]
    [InlineData(0.6f, 1f, LogitsDetail.Candidates)]
    public void Detail_OfOptions_IsTheLeastThatDoes(float temperature, float topP, LogitsDetail detail)
    {
        var options = Sampling(temperature, topP);

        Assert.Equal(detail, TokenChoice.Detail(options));
        Assert.Equal(detail == LogitsDetail.Best ? LogitsDetail.Alternatives : detail, TokenChoice.Detail(options with { TopLogprobs = 1 }));
        Assert.Equal(LogitsDetail.FullRow, TokenChoice.Detail(options with { PresencePenalty = 1 }));
        Assert.Equal(LogitsDetail.FullRow, TokenChoice.Detail(options with { LogitBias = new Dictionary<int, float> { [1] = 1 } }));
    }

    [Fact]
    public void Choose_AllTokensKept_FollowsTheDistribution()
    {
        // top_p = 1 ends its walk early; what it draws is still each token in proportion to its probability.
        float[] row = [3, 2, 1, 0, -1, -2];
        LogitCandidate[] candidates = [new(0, 3), new(1, 2)];
        var sum = row.Sum(logit => Math.Exp(logit));
        var counts = new int[row.Length];
        const int Draws = 20_000;
        for (var position = 0; position < Draws; position++)
        {
            counts[Choose(row, candidates, row, Sampling(1, 1), position).TokenId]++;
        }

        Assert.All(row.Zip(counts), pair => Assert.InRange(pair.Second, Expected(pair.First) - 300, Expected(pair.First) + 300));

        double Expected(float logit) => Draws * Math.Exp(logit) / sum;
    }

    private (int TokenId, float Logit) Choose(
        float[] logits, LogitCandidate[] candidates, float[] row, SamplingOptions options, int position)
    {
        var best = Array.IndexOf(logits, logits.Max());
        var maximum = logits[best] / options.Temperature;
        var result = new LogitsResult
        {
            BestTokenId = best,
            BestLogit = logits[best],
            LogSumExp = 0,
            TargetLogit = 0,
            ScaledMaximum = maximum,
            ScaledSum = logits.Sum(logit => Exponential.Exp((logit / options.Temperature) - maximum)),
            Candidates = candidates,
            Row = row,
        };
        return _choice.Choose(0, result, options, position);
    }

    private static SamplingOptions Sampling(float temperature, float topP)
        => new() { Temperature = temperature, TopP = topP, Seed = 1, Row = 0 };

    private static double Normal(Random random)
        => Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble());
}
