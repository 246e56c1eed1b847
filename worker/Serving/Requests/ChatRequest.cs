using System.Globalization;
using System.Runtime.InteropServices;
using System.Text.Json;
using Distributed.Engine.Generation;
using Distributed.Worker.Prompts;

namespace Distributed.Worker.Serving.Requests;

/// <summary>A request to <c>/v1/chat/completions</c>.</summary>
/// <param name="Messages">At least one.</param>
/// <param name="TopLogprobs">Alternatives a token; <see langword="null"/> where no log probabilities are wanted.</param>
/// <param name="Generation">How to generate.</param>
internal sealed record ChatRequest(IReadOnlyList<ChatMessage> Messages, int? TopLogprobs, GenerationFields Generation)
{
    private const int MaxMessageCount = 4096;

    /// <summary>Reads and checks the request.</summary>
    /// <exception cref="ApiException">A field cannot be used; it is named.</exception>
    public static ChatRequest Read(RequestFields fields)
    {
        var withLogprobs = fields.Flag("logprobs");
        var topLogprobs = fields.Integer(NumericField.TopLogprobs);
        if (topLogprobs is not null && !withLogprobs)
        {
            throw ApiException.Field("top_logprobs", "top_logprobs is only for log probabilities; send \"logprobs\": true with it.");
        }

        var generation = GenerationFields.Read(fields);
        if (generation.MaxTokens == 0)
        {
            throw NumericField.MaxTokens.Refuse("0; a chat answer has at least one token");
        }

        return new ChatRequest(ReadMessages(fields), withLogprobs ? topLogprobs ?? 0 : null, generation);
    }

    private static List<ChatMessage> ReadMessages(RequestFields fields)
    {
        const string Name = "messages";
        if (fields[Name] is not { ValueKind: JsonValueKind.Array } list || list.GetArrayLength() is 0 or > MaxMessageCount)
        {
            throw ApiException.Field(Name, $"messages must be a list of 1 to {MaxMessageCount} messages: [{{\"role\": \"user\", \"content\": \"...\"}}].");
        }

        var messages = new List<ChatMessage>();
        foreach (var item in list.EnumerateArray())
        {
            var param = string.Create(CultureInfo.InvariantCulture, $"{Name}[{messages.Count}]");
            var message = RequestFields.Object(item, param);
            messages.Add(new ChatMessage(Role(message, param), Content(message, $"{param}.content")));
        }

        return messages;
    }

    private static string Role(RequestFields message, string param) => message["role"] is { } role
        ? RequestFields.Text(role, $"{param}.role") switch
        {
            ChatMessage.User => ChatMessage.User,
            ChatMessage.Assistant => ChatMessage.Assistant,
            ChatMessage.System or "developer" => ChatMessage.System, // OpenAI's newer word for it
            _ => throw ApiException.Field($"{param}.role", $"{param}.role must be system, developer, user or assistant; this server calls no tools."),
        }
        : throw ApiException.Field($"{param}.role", $"{param}.role is missing; it says system, user or assistant.");

    // A text, or parts of type text, which are one text.
    private static string Content(RequestFields message, string param)
    {
        if (message["content"] is not { } content)
        {
            throw ApiException.Field(param, $"{param} is missing; it must be a string, or a list of parts of type text.");
        }

        if (content.ValueKind != JsonValueKind.Array)
        {
            return RequestFields.Text(content, param);
        }

        var texts = new List<string>(); // a builder would copy them once more
        foreach (var item in content.EnumerateArray())
        {
            texts.Add(TextOf(item) ?? RefusedPart(item, $"{param}[{texts.Count}]"));
        }

        return string.Concat(CollectionsMarshal.AsSpan(texts)); // knows the length before it copies
    }

    private static string? TextOf(JsonElement item)
        => item.ValueKind == JsonValueKind.Object
            && new RequestFields(item) is var part
            && part["type"] is { ValueKind: JsonValueKind.String } type && type.ValueEquals("text")
            && part["text"] is { } value
                ? UserText.FromJson(value)
                : null;

    // Why a part cannot be used.
    private static string RefusedPart(JsonElement item, string param)
    {
        var part = RequestFields.Object(item, param);
        return part["type"] is { ValueKind: JsonValueKind.String } type && type.ValueEquals("text") && part["text"] is { } value
            ? RequestFields.Text(value, $"{param}.text")
            : throw ApiException.Field($"{param}.type", $"{param} must be {{\"type\": \"text\", \"text\": \"...\"}}; this model reads text only, and nothing is fetched.");
    }
}
