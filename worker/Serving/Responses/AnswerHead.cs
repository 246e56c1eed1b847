using System.Text.Json;
using Distributed.Worker.Output;

namespace Distributed.Worker.Serving.Responses;

/// <summary>What all documents of one answer have in common.</summary>
/// <param name="Id">Of the answer, <c>chatcmpl-...</c>.</param>
/// <param name="Created">Seconds since 1970.</param>
/// <param name="Model">The model's name.</param>
/// <param name="Fingerprint">Of the weights and the program: equal requests with equal seeds have equal answers while it is the same.</param>
internal sealed record AnswerHead(string Id, long Created, string Model, string Fingerprint)
{
    /// <summary>Writes it at the beginning of a document.</summary>
    /// <param name="json">Within the document's object.</param>
    /// <param name="kind">The document's <c>object</c>.</param>
    public void WriteTo(Utf8JsonWriter json, string kind)
    {
        json.WriteString("id", Id);
        json.WriteString("object", kind);
        json.WriteNumber("created", Created);
        json.WritePlain("model", Model);
        json.WriteString("system_fingerprint", Fingerprint);
    }
}

/// <summary>What an answer has cost.</summary>
/// <param name="PromptTokens">Tokens of all prompts.</param>
/// <param name="CachedTokens">Of these, those whose keys and values were in the cache.</param>
/// <param name="CompletionTokens">Tokens generated.</param>
internal readonly record struct Usage(long PromptTokens, long CachedTokens, long CompletionTokens)
{
    /// <summary>Writes the property <c>usage</c>.</summary>
    public void WriteTo(Utf8JsonWriter json)
    {
        json.WriteStartObject("usage");
        json.WriteNumber("prompt_tokens", PromptTokens);
        json.WriteNumber("completion_tokens", CompletionTokens);
        json.WriteNumber("total_tokens", PromptTokens + CompletionTokens);
        json.WriteStartObject("prompt_tokens_details");
        json.WriteNumber("cached_tokens", CachedTokens);
        json.WriteEndObject();
        json.WriteEndObject();
    }
}
