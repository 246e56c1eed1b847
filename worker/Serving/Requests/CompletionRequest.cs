using System.Collections.Immutable;
using System.Text.Json;

namespace Distributed.Worker.Serving.Requests;

/// <summary>A request to <c>/v1/completions</c>.</summary>
/// <param name="Prompts">At least one.</param>
/// <param name="Logprobs">Alternatives a token; <see langword="null"/> where no log probabilities are wanted.</param>
/// <param name="Echo">Whether the answer begins with the prompt.</param>
/// <param name="Generation">How to generate.</param>
internal sealed record CompletionRequest(ImmutableArray<PromptField> Prompts, int? Logprobs, bool Echo, GenerationFields Generation)
{
    private const string Name = "prompt";

    // OpenAI's default for this route.
    private const int DefaultMaxTokens = 16;

    /// <summary>Reads and checks the request.</summary>
    /// <param name="fields">The body.</param>
    /// <param name="defaultMaxTokens">New tokens where the request does not say; <see langword="null"/> for OpenAI's 16.</param>
    /// <exception cref="ApiException">A field cannot be used; it is named.</exception>
    public static CompletionRequest Read(RequestFields fields, int? defaultMaxTokens)
    {
        fields.Refuse(
            "suffix",
            value => value.ValueKind == JsonValueKind.String && value.ValueEquals(""),
            "this model was not taught to fill in between two texts; leave it out.");
        var generation = GenerationFields.Read(fields);
        if (fields.Integer(NumericField.BestOf) is { } bestOf && bestOf != generation.N)
        {
            throw ApiException.Field("best_of", $"best_of is {bestOf} and n is {generation.N}; all choices are returned here, so leave best_of out.", "unsupported_parameter");
        }

        var prompts = ReadPrompts(fields);
        if (prompts.Length * generation.N > NumericField.MaxChoiceCount)
        {
            throw ApiException.Field(Name, $"{prompts.Length} prompts with {generation.N} choices each are more than {NumericField.MaxChoiceCount} texts; send several requests.");
        }

        return new CompletionRequest(
            prompts,
            fields.Integer(NumericField.Logprobs),
            fields.Flag("echo"),
            generation with { MaxTokens = generation.MaxTokens ?? defaultMaxTokens ?? DefaultMaxTokens });
    }

    // A string, a list of strings, a list of ids, or a list of lists of ids.
    private static ImmutableArray<PromptField> ReadPrompts(RequestFields fields)
    {
        if (fields.TokenIdLists(Name) is { } lists)
        {
            return [.. lists.Select(ids => new PromptField(null, ids))];
        }

        var value = fields[Name] ?? throw ApiException.Field(Name, "prompt is missing; it must be a string, a list of strings, or token ids.");
        if (value.ValueKind == JsonValueKind.String)
        {
            return [new PromptField(RequestFields.Text(value, Name), default)];
        }

        if (value.ValueKind != JsonValueKind.Array || value.GetArrayLength() == 0)
        {
            throw ApiException.Field(Name, $"prompt is {RequestFields.Shown(value)}; it must be a string, a list of strings, a list of token ids, or a list of such lists.");
        }

        if (value[0].ValueKind == JsonValueKind.Number)
        {
            return [new PromptField(null, RequestFields.TokenIds(value, Name))];
        }

        if (value.GetArrayLength() > NumericField.MaxChoiceCount)
        {
            throw ApiException.Field(Name, $"prompt has {value.GetArrayLength()} prompts and may have {NumericField.MaxChoiceCount}; send several requests.");
        }

        return [.. value.EnumerateArray().Select((item, index) => item.ValueKind == JsonValueKind.Array
            ? new PromptField(null, RequestFields.TokenIds(item, $"{Name}[{index}]"))
            : new PromptField(RequestFields.Text(item, $"{Name}[{index}]"), default))];
    }
}

/// <summary>One prompt, as text or as ids.</summary>
/// <param name="Text">To be encoded, with BOS in front; <see langword="null"/> where ids were given.</param>
/// <param name="TokenIds">As they were given.</param>
internal readonly record struct PromptField(string? Text, ImmutableArray<int> TokenIds);
