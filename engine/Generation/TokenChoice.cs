using Distributed.Engine.Model;
using Distributed.Engine.Parallel;
using Distributed.Engine.Sampling;

namespace Distributed.Engine.Generation;

/// <summary>Chooses a row's next token from what the leader knows of its logits.</summary>
/// <remarks>
/// Candidates are the largest logits only. When the nucleus ends among them they are all that a draw needs; when it does not, the whole row
/// is fetched and the same walk begins again over it, so that the choice has the same bits either way.
/// </remarks>
internal sealed class TokenChoice(LeaderLoop leader)
{
    private readonly Nucleus _nucleus = new();
    private readonly DescendingOrder _order = new();

    /// <summary>What the choice will need to know: less is cheaper to gather.</summary>
    public static LogitsDetail Detail(GenerationOptions options) => options switch
    {
        { Temperature: 0 } or { TopP: 0 } => LogitsDetail.Best,
        { TopP: >= 1 } => LogitsDetail.FullRow,
        _ => LogitsDetail.Candidates,
    };

    /// <summary>Chooses the token at <paramref name="position"/> of a row.</summary>
    /// <param name="output">Which of the step's outputs this is.</param>
    /// <param name="logits">What that output knows of the row's logits.</param>
    /// <param name="options">How to choose.</param>
    /// <param name="row">The row's number in the user's request.</param>
    /// <param name="position">With the seed and the row it determines the draw.</param>
    public (int TokenId, float Logit) Choose(int output, LogitsResult logits, GenerationOptions options, long row, int position)
    {
        if (Detail(options) == LogitsDetail.Best)
        {
            return (logits.BestTokenId, logits.BestLogit);
        }

        if (!TryFill(logits, options))
        {
            Fill(logits.Row.IsEmpty ? leader.FetchRow(output) : logits.Row, logits, options);
        }

        return _nucleus.Draw(new RowRandom(options.Seed, row).At(position));
    }

    // Whether the nucleus is certainly complete: a candidate lay outside it.
    private bool TryFill(LogitsResult logits, GenerationOptions options)
    {
        _nucleus.Begin(options.Temperature, logits.ScaledMaximum, logits.ScaledSum, options.TopP);
        foreach (var candidate in logits.Candidates)
        {
            if (!_nucleus.TryAdd(candidate.TokenId, candidate.Logit))
            {
                return true;
            }
        }

        return false;
    }

    private void Fill(ReadOnlySpan<float> row, LogitsResult logits, GenerationOptions options)
    {
        _nucleus.Begin(options.Temperature, logits.ScaledMaximum, logits.ScaledSum, options.TopP);
        foreach (var tokenId in _order.Sort(row))
        {
            if (!_nucleus.TryAdd(tokenId, row[tokenId]))
            {
                return;
            }
        }
    }
}
