using Distributed.Engine.Generation;

namespace Distributed.Engine.Serving;

/// <summary>What can be said of a request without running it.</summary>
internal static class RequestRules
{
    /// <summary>One sentence for each thing for which it cannot be run.</summary>
    public static IEnumerable<string> Problems(InferenceRequest request, GenerationLimits limits)
    {
        if ((request.Prompt.IsDefault ? "The prompt is missing." : limits.Problem("The prompt", request.Prompt)) is { } ofPrompt)
        {
            yield return ofPrompt;
            yield break;
        }

        foreach (var problem in ServingRow.SamplingOf(request).Problems(limits.VocabularySize))
        {
            yield return problem;
        }

        if (request.MaxTokens < 0)
        {
            yield return $"max_tokens is {request.MaxTokens}; it must be 0 or more.";
        }
        else if (!request.Generated.IsDefaultOrEmpty && ProblemOfGenerated(request, limits) is { } ofGenerated)
        {
            yield return ofGenerated;
        }
    }

    private static string? ProblemOfGenerated(InferenceRequest request, GenerationLimits limits)
        => request.Generated.Length > Math.Min(request.MaxTokens, limits.MaxSequenceLength - request.Prompt.Length)
            ? $"The answer so far has {request.Generated.Length} tokens, which is more than it may have."
            : limits.Problem("The answer so far", request.Generated);
}
