using Distributed.Engine.Kernels;
using Distributed.Engine.Model;
using Distributed.Engine.Parallel;
using Distributed.Engine.Sampling;

namespace Distributed.Engine.Generation;

/// <summary>Chooses a sequence's next token from what the leader knows of its logits.</summary>
/// <remarks>
/// Candidates are the greatest logits only. When the draw is decided among them they are all that it needs; when it is not, the whole row is fetched and the
/// walk goes on over the others. Where logits are adjusted the row is there from the start, and candidates are taken from the adjusted one.
/// </remarks>
internal sealed class TokenChoice
{
    private readonly LeaderLoop? _leader;
    private readonly Nucleus _nucleus = new();
    private readonly DescendingOrder _order = new();
    private readonly RowTail _tail;
    private readonly NucleusSelection _selection;
    private readonly AdjustedLogits _adjusted;
    private readonly LogitCandidate[] _candidates = new LogitCandidate[LogitsPiece.MaxCandidateCount];

    /// <param name="leader">Whose outputs are chosen from; <see langword="null"/> where every output comes with its row.</param>
    /// <param name="kernels">Arithmetic for adjusted rows.</param>
    public TokenChoice(LeaderLoop? leader, KernelSet kernels)
    {
        _leader = leader;
        _tail = new RowTail(kernels);
        _selection = new NucleusSelection(kernels);
        _adjusted = new AdjustedLogits(kernels);
    }

    /// <summary>What the choice will need to know: less is cheaper to gather.</summary>
    public static LogitsDetail Detail(SamplingOptions options)
        => options.AdjustsLogits ? LogitsDetail.FullRow
            : !options.IsGreedy ? LogitsDetail.Candidates
            : options.TopLogprobs > 0 ? LogitsDetail.Alternatives
            : LogitsDetail.Best;

    /// <summary>The temperature that the output is asked for with: that of a draw from the model's own logits.</summary>
    public static float Temperature(SamplingOptions options) => options.IsGreedy || options.AdjustsLogits ? 0 : options.Temperature;

    /// <summary>Chooses the token at the next position of a sequence.</summary>
    /// <param name="output">Which of the step's outputs this is.</param>
    /// <param name="logits">What that output knows of the sequence's logits.</param>
    /// <param name="sequence">How to choose, and behind what.</param>
    /// <returns>The token and its logit as the model has it; token -1 where a constraint leaves none and the answer may end.</returns>
    /// <exception cref="GenerationException">A constraint leaves none and the answer may not end.</exception>
    public (int TokenId, float Logit) Choose(int output, in LogitsResult logits, Sequence sequence)
    {
        var options = sequence.Sampling;
        if (options.AdjustsLogits)
        {
            return ChooseAdjusted(logits.Row, sequence);
        }

        if (options.IsGreedy)
        {
            return (logits.BestTokenId, logits.BestLogit);
        }

        return Choose(output, logits, options, sequence.Count);
    }

    /// <summary>Draws the token at <paramref name="position"/> from the model's own logits.</summary>
    internal (int TokenId, float Logit) Choose(int output, in LogitsResult logits, SamplingOptions options, int position)
    {
        var unit = new RowRandom(options.Seed, options.Row).At(position);
        _nucleus.Begin(options.Temperature, logits.ScaledMaximum, logits.ScaledSum, options.TopP);
        foreach (var candidate in logits.Candidates)
        {
            if (!_nucleus.TryAdd(candidate.TokenId, candidate.Logit) || _nucleus.Decides(unit))
            {
                return _nucleus.Draw(unit);
            }
        }

        // Without a leader there are rows.
        return DrawFromRow(logits.Row.IsEmpty ? _leader!.FetchRow(output) : logits.Row, logits.Candidates, options, unit);
    }

    private (int TokenId, float Logit) ChooseAdjusted(ReadOnlySpan<float> row, Sequence sequence)
    {
        var options = sequence.Sampling;
        _adjusted.Begin(row);
        _adjusted.Add(options.LogitBias);
        _adjusted.Penalize(sequence.Counts, options.FrequencyPenalty, options.PresencePenalty);
        if (options.Constraint is { } constraint)
        {
            _adjusted.Keep(constraint, sequence.StopTokenIds);
        }

        var temperature = options.IsGreedy ? 0 : options.Temperature;
        var summary = _adjusted.Summarize(temperature);
        if (float.IsNegativeInfinity(summary.Maximum))
        {
            return options.Constraint!.CanEnd // nothing else forbids tokens
                ? (-1, 0)
                : throw new GenerationException(
                    "The response format leaves no token that may come next, as the model's vocabulary lacks what it needs; ask for another format.");
        }

        var tokenId = options.IsGreedy
            ? _adjusted.IndexOf(summary.Maximum)
            : DrawAdjusted(options, summary, new RowRandom(options.Seed, options.Row).At(sequence.Count));
        return (tokenId, row[tokenId]);
    }

    private int DrawAdjusted(SamplingOptions options, LogitsGroup summary, double unit)
    {
        _nucleus.Begin(options.Temperature, summary.Maximum / options.Temperature, summary.ScaledSum, options.TopP);
        Span<int> tokenIds = stackalloc int[LogitsPiece.MaxCandidateCount];
        Span<float> logits = stackalloc float[LogitsPiece.MaxCandidateCount];
        var candidates = _candidates.AsSpan(0, _adjusted.Greatest(tokenIds, logits));
        for (var i = 0; i < candidates.Length; i++)
        {
            candidates[i] = new LogitCandidate(tokenIds[i], logits[i]);
        }

        foreach (var candidate in candidates)
        {
            // Behind the allowed tokens there are only forbidden ones.
            if (float.IsNegativeInfinity(candidate.Logit) || !_nucleus.TryAdd(candidate.TokenId, candidate.Logit) || _nucleus.Decides(unit))
            {
                return _nucleus.Draw(unit).TokenId;
            }
        }

        return DrawFromRow(_adjusted.Values, candidates, options, unit).TokenId;
    }

    // The nucleus holds the candidates and needs more. Where all tokens are kept their order is anybody's choice: the candidates, then the others as they lie, which
    // needs no sorting. Otherwise the walk goes on behind the candidates in descending order, or its result is found without walking.
    private (int TokenId, float Logit) DrawFromRow(
        ReadOnlySpan<float> row, ReadOnlySpan<LogitCandidate> candidates, SamplingOptions options, double unit)
    {
        if (options.TopP >= 1)
        {
            Span<int> tokenIds = stackalloc int[LogitsPiece.MaxCandidateCount];
            for (var i = 0; i < candidates.Length; i++)
            {
                tokenIds[i] = candidates[i].TokenId;
            }

            var drawn = _tail.Draw(row, tokenIds[..candidates.Length], _nucleus, unit);
            return drawn.TokenId >= 0 ? drawn : _nucleus.Draw(unit);
        }

        if (_selection.TryDraw(row, _nucleus, unit, out var selected))
        {
            return selected;
        }

        var last = candidates.IsEmpty ? new LogitCandidate(-1, float.PositiveInfinity) : candidates[^1];
        _order.Begin(row);
        for (var next = _order.Next(); !next.IsEmpty; next = _order.Next())
        {
            foreach (var tokenId in next)
            {
                if (IsBehind(tokenId, row[tokenId]) && !_nucleus.TryAdd(tokenId, row[tokenId]))
                {
                    return _nucleus.Draw(unit);
                }
            }
        }

        return _nucleus.Draw(unit);

        bool IsBehind(int tokenId, float logit)
            => !float.IsNegativeInfinity(logit) && (logit < last.Logit || (logit == last.Logit && tokenId > last.TokenId));
    }
}
