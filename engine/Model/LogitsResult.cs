namespace Distributed.Engine.Model;

/// <summary>What a step says about the logits that follow one token; valid until the next step.</summary>
public readonly ref struct LogitsResult
{
    /// <summary>The token with the greatest logit, the lowest id among equal ones.</summary>
    public required int BestTokenId { get; init; }

    /// <summary>Its logit.</summary>
    public required float BestLogit { get; init; }

    /// <summary>The logarithm of the sum of exp(logit): a token's log-probability is its logit minus this.</summary>
    public required float LogSumExp { get; init; }

    /// <summary>The target's logit; 0 where no target was named.</summary>
    public required float TargetLogit { get; init; }

    /// <summary>BestLogit / temperature, with a temperature above 0.</summary>
    public required float ScaledMaximum { get; init; }

    /// <summary>Sum over the vocabulary of exp(logit / temperature - ScaledMaximum), with a temperature above 0.</summary>
    public required float ScaledSum { get; init; }

    /// <summary>The 64 greatest logits (fewer in a smaller vocabulary), descending, equal ones by ascending id: no other token has a
    /// greater one than the last. Empty unless they were asked for.</summary>
    public required ReadOnlySpan<LogitCandidate> Candidates { get; init; }

    /// <summary>[vocabulary], empty unless it was asked for.</summary>
    public required ReadOnlySpan<float> Row { get; init; }
}
