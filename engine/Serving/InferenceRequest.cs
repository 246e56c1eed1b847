using System.Collections.Immutable;
using Distributed.Engine.Sampling;

namespace Distributed.Engine.Serving;

/// <summary>
/// One sequence to continue, one choice of one client's request. Its tokens and log probabilities are a function of what stands here: neither
/// neighbours nor a reused prefix change a bit.
/// </summary>
public sealed record InferenceRequest
{
    /// <summary>The token ids to continue, at least one, BOS included where the model expects it.</summary>
    public required ImmutableArray<int> Prompt { get; init; }

    /// <summary>
    /// Tokens of this answer that were produced before, for a replay: they are not reported again, and penalties, draws and the constraint go on behind
    /// them.
    /// </summary>
    public ImmutableArray<int> Generated { get; init; } = [];

    /// <summary>Tokens of the whole answer, <see cref="Generated"/> included; 0 only scores the prompt.</summary>
    public required int MaxTokens { get; init; }

    /// <summary>Divides the logits before sampling; 0 always takes the most probable token.</summary>
    public float Temperature { get; init; } = 1;

    /// <summary>Sample from the most probable tokens whose mass reaches this, 0 to 1.</summary>
    public float TopP { get; init; } = 1;

    /// <summary>With <see cref="Row"/> and the position it determines every draw.</summary>
    public long Seed { get; init; }

    /// <summary>The choice's number in the client's request.</summary>
    public long Row { get; init; }

    /// <summary>Taken from a token's logit for each time that the answer has it so far, -2 to 2 (OpenAI's formula).</summary>
    public float FrequencyPenalty { get; init; }

    /// <summary>Taken from a token's logit once the answer has it, -2 to 2.</summary>
    public float PresencePenalty { get; init; }

    /// <summary>Added to the logits of these token ids, -100 to 100.</summary>
    public IReadOnlyDictionary<int, float> LogitBias { get; init; } = ImmutableDictionary<int, float>.Empty;

    /// <summary>The most probable tokens that are reported beside each one, 0 to 20.</summary>
    public int TopLogprobs { get; init; }

    /// <summary>Whether the prompt's tokens are reported too, with their log probabilities.</summary>
    public bool ScorePrompt { get; init; }

    /// <summary>The answer ends before the first of these; default (not empty) stands for the model's.</summary>
    public ImmutableArray<int> StopTokenIds { get; init; }

    /// <summary>
    /// What the answer must match; it belongs to this request alone and has accepted nothing yet, not even in a replay: it is fed <see cref="Generated"/>.
    /// </summary>
    public TokenConstraint? Constraint { get; init; }

    /// <summary>Whose request it is. Waiting requests are taken in turn from each client, and prefixes are shared within one client only.</summary>
    public string Client { get; init; } = "";
}
