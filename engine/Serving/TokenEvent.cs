using System.Collections.Immutable;
using Distributed.Engine.Generation;

namespace Distributed.Engine.Serving;

/// <summary>A token and the natural logarithm of its probability, from the raw logits; 0 or less.</summary>
public readonly record struct TokenLogprob(int TokenId, float LogProbability);

/// <summary>News of a call: a token of it, or its end. The end comes once and last, and is no token of the text.</summary>
/// <param name="Position">The token's place in the sequence, from 0; at the end the place behind the last token.</param>
/// <param name="TokenId">The token; at the end the stop token that was drawn, -1 where there is none.</param>
/// <param name="LogProbability">
/// Natural, from the raw logits, before temperature, penalties and constraints; <see langword="null"/> for the first token of a prompt, which nothing predicts, and at the end.
/// </param>
/// <param name="Alternatives">The most probable tokens at this position, descending, as many as the request asks for; empty where nothing predicts the token.</param>
/// <param name="FinishReason">Set at the end, else <see langword="null"/>.</param>
/// <param name="IsPrompt">Whether it is a token of the prompt, which only <see cref="InferenceRequest.ScorePrompt"/> reports.</param>
public readonly record struct TokenEvent(
    int Position,
    int TokenId,
    float? LogProbability,
    ImmutableArray<TokenLogprob> Alternatives,
    FinishReason? FinishReason,
    bool IsPrompt);
