using System.Globalization;

namespace Distributed.Worker.Serving.Requests;

/// <summary>A number in a request: its name and what it may be.</summary>
/// <param name="Name">The field.</param>
/// <param name="Minimum">The least value.</param>
/// <param name="Maximum">The largest value.</param>
/// <param name="IsWhole">Whether it has no fraction.</param>
internal sealed record NumericField(string Name, double Minimum, double Maximum, bool IsWhole = false)
{
    /// <summary>The most that one request may ask to be generated at once, <c>n</c> for each prompt.</summary>
    public const int MaxChoiceCount = 128;

    /// <summary>The most alternatives a token.</summary>
    public const int MaxTopLogprobs = 20;

    /// <summary>New tokens at most; that they fit into the context is checked with the prompt.</summary>
    public static readonly NumericField MaxTokens = new("max_tokens", 0, int.MaxValue, IsWhole: true);

    /// <inheritdoc cref="MaxTokens"/>
    public static readonly NumericField MaxCompletionTokens = new("max_completion_tokens", 0, int.MaxValue, IsWhole: true);

    public static readonly NumericField Temperature = new("temperature", 0, 2);

    public static readonly NumericField TopP = new("top_p", 0, 1);

    public static readonly NumericField N = new("n", 1, 8, IsWhole: true);

    public static readonly NumericField BestOf = new("best_of", 1, 8, IsWhole: true);

    public static readonly NumericField Seed = new("seed", long.MinValue, long.MaxValue, IsWhole: true);

    public static readonly NumericField FrequencyPenalty = new("frequency_penalty", -2, 2);

    public static readonly NumericField PresencePenalty = new("presence_penalty", -2, 2);

    public static readonly NumericField TopLogprobs = new("top_logprobs", 0, MaxTopLogprobs, IsWhole: true);

    /// <summary>In completions, where it counts the alternatives.</summary>
    public static readonly NumericField Logprobs = new("logprobs", 0, MaxTopLogprobs, IsWhole: true);

    public static readonly NumericField LogitBias = new("logit_bias", -100, 100);

    public static readonly NumericField TokenId = new("tokens", 0, int.MaxValue, IsWhole: true);

    /// <summary>All of them, for whoever checks every one.</summary>
    public static IReadOnlyList<NumericField> All { get; } =
        [MaxTokens, MaxCompletionTokens, Temperature, TopP, N, BestOf, Seed, FrequencyPenalty, PresencePenalty, TopLogprobs, Logprobs];

    /// <summary>The sentence for a value that it may not be.</summary>
    /// <param name="shown">The value as JSON, cut short.</param>
    /// <param name="param">The place in the request where it is not the field's name.</param>
    public ApiException Refuse(string shown, string? param = null)
        => ApiException.Field(
            param ?? Name,
            string.Create(
                CultureInfo.InvariantCulture,
                $"{param ?? Name} is {shown}; it must be a {(IsWhole ? "whole number" : "number")} from {Minimum:0.##} to {Maximum:0.##}."));
}
