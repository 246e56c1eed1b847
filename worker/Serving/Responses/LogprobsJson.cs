using System.Globalization;
using System.Text;
using System.Text.Json;
using Distributed.Engine.Tokenizers;
using Distributed.Worker.Output;
using Distributed.Worker.Serving.Text;

namespace Distributed.Worker.Serving.Responses;

/// <summary>Log probabilities in the two forms of OpenAI's API.</summary>
/// <param name="tokenizer">The model's.</param>
internal sealed class LogprobsJson(Tokenizer tokenizer)
{
    // JSON has no infinity; vLLM writes this in its place.
    private const float Least = -9999f;

    private static readonly UTF8Encoding Strict = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    /// <summary>Writes the property <c>logprobs</c> of a chat choice: <c>{"content":[{"token","logprob","bytes","top_logprobs"}]}</c>.</summary>
    public void WriteChat(Utf8JsonWriter json, IReadOnlyList<TextToken> tokens)
    {
        json.WriteStartObject("logprobs");
        json.WriteStartArray("content");
        foreach (var token in tokens)
        {
            json.WriteStartObject();
            WriteChatToken(json, token.News.TokenId, token.News.LogProbability ?? 0);
            json.WriteStartArray("top_logprobs");
            foreach (var alternative in token.News.Alternatives)
            {
                json.WriteStartObject();
                WriteChatToken(json, alternative.TokenId, alternative.LogProbability);
                json.WriteEndObject();
            }

            json.WriteEndArray();
            json.WriteEndObject();
        }

        json.WriteEndArray();
        json.WriteNull("refusal");
        json.WriteEndObject();
    }

    /// <summary>
    /// Writes the property <c>logprobs</c> of a text choice: <c>{"tokens","token_logprobs","top_logprobs","text_offset"}</c>. A token that nothing
    /// predicts, the first of an echoed prompt, has null.
    /// </summary>
    /// <param name="json">Within the choice.</param>
    /// <param name="tokens">Of the choice's text.</param>
    /// <param name="alternativeCount">The alternatives that were asked for.</param>
    public void WriteText(Utf8JsonWriter json, IReadOnlyList<TextToken> tokens, int alternativeCount)
    {
        json.WriteStartObject("logprobs");
        json.WriteStartArray("tokens");
        foreach (var token in tokens)
        {
            json.WritePlainValue(NameOf(token.News.TokenId));
        }

        json.WriteEndArray();
        json.WriteStartArray("token_logprobs");
        foreach (var token in tokens)
        {
            WriteNumber(json, token.News.LogProbability);
        }

        json.WriteEndArray();
        WriteAlternatives(json, tokens, alternativeCount);
        json.WriteStartArray("text_offset");
        foreach (var token in tokens)
        {
            json.WriteNumberValue(token.Offset);
        }

        json.WriteEndArray();
        json.WriteEndObject();
    }

    private void WriteAlternatives(Utf8JsonWriter json, IReadOnlyList<TextToken> tokens, int count)
    {
        if (count == 0)
        {
            json.WriteNull("top_logprobs");
            return;
        }

        json.WriteStartArray("top_logprobs");
        foreach (var (news, _) in tokens)
        {
            if (news.LogProbability is not { } logprob)
            {
                json.WriteNullValue();
                continue;
            }

            // A name stands once: two tokens of one text are told apart by nothing, and the more probable is first.
            var names = new HashSet<string>(StringComparer.Ordinal);
            json.WriteStartObject();
            foreach (var alternative in news.Alternatives)
            {
                if (NameOf(alternative.TokenId) is var name && names.Add(name))
                {
                    json.WritePropertyName(name);
                    WriteNumber(json, alternative.LogProbability);
                }
            }

            if (NameOf(news.TokenId) is var own && names.Add(own)) // the token itself is always among them
            {
                json.WritePropertyName(own);
                WriteNumber(json, logprob);
            }

            json.WriteEndObject();
        }

        json.WriteEndArray();
    }

    private void WriteChatToken(Utf8JsonWriter json, int tokenId, float logprob)
    {
        var bytes = BytesOf(tokenId);
        json.WritePlain("token", bytes.Length > 0 ? Encoding.UTF8.GetString(bytes) : PieceOf(tokenId));
        json.WritePropertyName("logprob");
        WriteNumber(json, logprob);
        json.WriteStartArray("bytes");
        foreach (var value in bytes)
        {
            json.WriteNumberValue(value);
        }

        json.WriteEndArray();
    }

    /// <summary>A token's text; the bytes of one that is part of a character as OpenAI writes them, <c>bytes:\xe2\x80</c>; a special token's piece.</summary>
    private string NameOf(int tokenId)
    {
        var bytes = BytesOf(tokenId);
        if (bytes.Length == 0)
        {
            return PieceOf(tokenId);
        }

        try
        {
            return Strict.GetString(bytes);
        }
        catch (DecoderFallbackException)
        {
            return $"bytes:{string.Concat(bytes.Select(value => $"\\x{value:x2}"))}";
        }
    }

    // A model may have more ids than its tokenizer.
    private byte[] BytesOf(int tokenId) => tokenId < tokenizer.VocabularySize ? tokenizer.Utf8Of(tokenId) : [];

    private string PieceOf(int tokenId)
        => tokenId < tokenizer.VocabularySize ? tokenizer.Piece(tokenId) : string.Create(CultureInfo.InvariantCulture, $"<{tokenId}>");

    private static void WriteNumber(Utf8JsonWriter json, float? logprob)
    {
        if (logprob is { } number)
        {
            json.WriteNumberValue(float.IsFinite(number) ? number : Least);
        }
        else
        {
            json.WriteNullValue();
        }
    }
}
