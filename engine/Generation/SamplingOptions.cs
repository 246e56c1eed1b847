using System.Collections.Immutable;
using System.Globalization;
using Distributed.Engine.Parallel;
using Distributed.Engine.Sampling;

namespace Distributed.Engine.Generation;

/// <summary>How one sequence's tokens are chosen, and what is said about them.</summary>
internal sealed record SamplingOptions
{
    /// <summary>Tokens of which a sequence may want to know beside the chosen one.</summary>
    public const int MaxTopLogprobs = 20;

    private const float MaxTemperature = 100f; // where one token is about as likely as the next
    private const float MaxPenalty = 2f; // OpenAI's
    private const float MaxBias = 100f; // OpenAI's

    /// <inheritdoc cref="GenerationOptions.Temperature"/>
    public required float Temperature { get; init; }

    /// <inheritdoc cref="GenerationOptions.TopP"/>
    public required float TopP { get; init; }

    /// <inheritdoc cref="GenerationOptions.Seed"/>
    public required long Seed { get; init; }

    /// <summary>Number of the sequence in the user's whole request.</summary>
    public required long Row { get; init; }

    /// <summary>Taken from a token's logit for each time that the answer has it so far, -2 to 2 (OpenAI's formula).</summary>
    public float FrequencyPenalty { get; init; }

    /// <summary>Taken from a token's logit once the answer has it, -2 to 2.</summary>
    public float PresencePenalty { get; init; }

    /// <summary>Added to the logits of these token ids, -100 to 100.</summary>
    public IReadOnlyDictionary<int, float> LogitBias { get; init; } = ImmutableDictionary<int, float>.Empty;

    /// <summary>The most probable tokens that are told of beside each one, 0 to 20.</summary>
    public int TopLogprobs { get; init; }

    /// <summary>What the answer must match; it belongs to this sequence alone.</summary>
    public TokenConstraint? Constraint { get; init; }

    /// <summary>Whether the most probable token is always taken.</summary>
    public bool IsGreedy => Temperature == 0 || TopP == 0;

    /// <summary>Whether the answer's tokens count in what comes next.</summary>
    public bool HasPenalties => FrequencyPenalty != 0 || PresencePenalty != 0;

    /// <summary>Whether the choice is among other logits than the model's own, which needs the whole row of them.</summary>
    public bool AdjustsLogits => HasPenalties || LogitBias.Count > 0 || Constraint is not null;

    /// <summary>One sentence for each value that is out of range.</summary>
    /// <param name="temperature">See <see cref="Temperature"/>.</param>
    /// <param name="topP">See <see cref="TopP"/>.</param>
    public static IEnumerable<string> Problems(float temperature, float topP)
    {
        if (temperature is not (0f or (>= StepOutput.MinTemperature and <= MaxTemperature)))
        {
            yield return string.Create(
                CultureInfo.InvariantCulture,
                $"temperature is {temperature}; it must be 0 (always the most probable token) or from 0.000001 to {MaxTemperature}.");
        }

        if (topP is not (>= 0f and <= 1f))
        {
            yield return string.Create(
                CultureInfo.InvariantCulture, $"top_p is {topP}; it must be from 0 (only the most probable token) to 1 (all tokens).");
        }
    }

    /// <summary>One sentence for each value that is out of range.</summary>
    /// <param name="vocabularySize">Token ids are below this.</param>
    public IEnumerable<string> Problems(int vocabularySize)
    {
        foreach (var problem in Problems(Temperature, TopP))
        {
            yield return problem;
        }

        (string Name, float Value)[] penalties = [("frequency_penalty", FrequencyPenalty), ("presence_penalty", PresencePenalty)];
        foreach (var (name, value) in penalties)
        {
            if (value is not (>= -MaxPenalty and <= MaxPenalty))
            {
                yield return string.Create(CultureInfo.InvariantCulture, $"{name} is {value}; it must be from -2 to 2.");
            }
        }

        foreach (var (tokenId, bias) in LogitBias)
        {
            if (tokenId < 0 || tokenId >= vocabularySize)
            {
                yield return $"logit_bias names token id {tokenId}; this model's ids are 0 to {vocabularySize - 1}.";
            }
            else if (bias is not (>= -MaxBias and <= MaxBias))
            {
                yield return string.Create(
                    CultureInfo.InvariantCulture, $"logit_bias of token id {tokenId} is {bias}; it must be from -100 to 100.");
            }
        }

        if (TopLogprobs is < 0 or > MaxTopLogprobs)
        {
            yield return $"top_logprobs is {TopLogprobs}; it must be from 0 to {MaxTopLogprobs}.";
        }
    }
}
