using System.Collections.Immutable;
using System.Globalization;
using System.Text;
using System.Text.Json;

namespace Distributed.Worker.Serving.Requests;

/// <summary>What chat and text completions have in common: how to generate, and how to answer.</summary>
internal sealed record GenerationFields
{
    private const int MaxStopCount = 16;
    private const int MaxStopByteCount = 256;
    private const int MaxBiasCount = 1024;

    /// <summary>The model that was named; <see langword="null"/> for the one that there is.</summary>
    public required string? Model { get; init; }

    /// <summary>New tokens at most; <see langword="null"/> where nothing was said.</summary>
    public required int? MaxTokens { get; init; }

    /// <inheritdoc cref="MaxTokens"/>
    public required float? Temperature { get; init; }

    /// <inheritdoc cref="MaxTokens"/>
    public required float? TopP { get; init; }

    /// <inheritdoc cref="MaxTokens"/>
    public required long? Seed { get; init; }

    /// <summary>Choices a prompt.</summary>
    public required int N { get; init; }

    public required float FrequencyPenalty { get; init; }

    public required float PresencePenalty { get; init; }

    public required IReadOnlyDictionary<int, float> LogitBias { get; init; }

    /// <summary>Texts before the first of which the answer ends; none is empty.</summary>
    public required ImmutableArray<string> Stop { get; init; }

    public required ResponseFormat Format { get; init; }

    /// <summary>Whether the answer comes as events.</summary>
    public required bool Stream { get; init; }

    /// <summary>Whether the last event says what it has cost.</summary>
    public required bool IncludeUsage { get; init; }

    /// <summary>Reads and checks them.</summary>
    /// <exception cref="ApiException">One cannot be used; it is named.</exception>
    public static GenerationFields Read(RequestFields fields)
    {
        fields.Refuse("tools", IsEmptyList, "this server calls no tools; describe what you want in the messages, or ask for response_format json_schema.");
        fields.Refuse("tool_choice", value => IsText(value, "none") || IsText(value, "auto"), "this server calls no tools; leave it out or send \"none\".");
        fields.Refuse("functions", IsEmptyList, "this server calls no functions; leave it out.");
        fields.Refuse("function_call", value => IsText(value, "none") || IsText(value, "auto"), "this server calls no functions; leave it out.");
        fields.Refuse("audio", _ => false, "this server speaks text only; leave it out.");
        fields.Refuse("modalities", IsTextOnly, "this server speaks text only; leave it out or send [\"text\"].");
        fields.Refuse("web_search_options", _ => false, "this server fetches nothing; leave it out.");
        var stream = fields.Flag("stream");
        var streamOptions = fields.Object("stream_options");
        if (streamOptions is not null && !stream)
        {
            throw ApiException.Field("stream_options", "stream_options is only for streams; send \"stream\": true with it.");
        }

        _ = fields.Text("user"); // of nobody's use here
        return new GenerationFields
        {
            Model = fields.Text("model"),
            MaxTokens = fields.Integer(NumericField.MaxCompletionTokens) ?? fields.Integer(NumericField.MaxTokens),
            Temperature = (float?)fields.Number(NumericField.Temperature),
            TopP = (float?)fields.Number(NumericField.TopP),
            Seed = fields.Long(NumericField.Seed),
            N = fields.Integer(NumericField.N) ?? 1,
            FrequencyPenalty = (float?)fields.Number(NumericField.FrequencyPenalty) ?? 0,
            PresencePenalty = (float?)fields.Number(NumericField.PresencePenalty) ?? 0,
            LogitBias = ReadLogitBias(fields),
            Stop = ReadStop(fields),
            Format = ResponseFormat.Read(fields),
            Stream = stream,
            IncludeUsage = streamOptions?.Flag("include_usage") ?? false,
        };
    }

    private static ImmutableArray<string> ReadStop(RequestFields fields)
    {
        const string Name = "stop";
        if (fields[Name] is not { } value)
        {
            return [];
        }

        if (value.ValueKind == JsonValueKind.String)
        {
            return [StopText(value, Name)];
        }

        if (value.ValueKind != JsonValueKind.Array || value.GetArrayLength() > MaxStopCount)
        {
            throw ApiException.Field(Name, $"stop must be a string or a list of at most {MaxStopCount} strings.");
        }

        return [.. value.EnumerateArray().Select((item, index) => StopText(item, $"{Name}[{index}]"))];
    }

    private static string StopText(JsonElement value, string param)
        => RequestFields.Text(value, param) is { Length: > 0 } text && Encoding.UTF8.GetByteCount(text) <= MaxStopByteCount
            ? text
            : throw ApiException.Field(param, $"{param} must be a string of 1 to {MaxStopByteCount} bytes.");

    private static Dictionary<int, float> ReadLogitBias(RequestFields fields)
    {
        const string Name = "logit_bias";
        var biases = new Dictionary<int, float>();
        if (fields[Name] is not { } value)
        {
            return biases;
        }

        _ = RequestFields.Object(value, Name);
        foreach (var property in value.EnumerateObject())
        {
            if (!int.TryParse(property.Name, NumberStyles.None, CultureInfo.InvariantCulture, out var id))
            {
                throw ApiException.Field(Name, "logit_bias has a name that is no token id; write {\"1234\": -100}.");
            }

            biases[id] = (float)RequestFields.Number(property.Value, NumericField.LogitBias, $"{Name}[{id}]");
            if (biases.Count > MaxBiasCount)
            {
                throw ApiException.Field(Name, $"logit_bias has more than {MaxBiasCount} token ids; send fewer.");
            }
        }

        return biases;
    }

    private static bool IsText(JsonElement value, string text) => value.ValueKind == JsonValueKind.String && value.ValueEquals(text);

    private static bool IsEmptyList(JsonElement value) => value.ValueKind == JsonValueKind.Array && value.GetArrayLength() == 0;

    private static bool IsTextOnly(JsonElement value)
        => value.ValueKind == JsonValueKind.Array && value.EnumerateArray().All(item => IsText(item, "text"));
}
