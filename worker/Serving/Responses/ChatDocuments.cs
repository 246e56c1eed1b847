using System.Text.Json;
using Distributed.Engine.Generation;
using Distributed.Worker.Output;

namespace Distributed.Worker.Serving.Responses;

/// <summary>The documents of a chat completion.</summary>
/// <param name="head">What each begins with.</param>
/// <param name="logprobs">Writes log probabilities; <see langword="null"/> where none are wanted.</param>
internal sealed class ChatDocuments(AnswerHead head, LogprobsJson? logprobs) : AnswerDocuments(head)
{
    public override bool HasFrame => true;

    protected override string Kind => "chat.completion";

    protected override string ChunkKind => "chat.completion.chunk";

    protected override void WriteChoice(Utf8JsonWriter json, Choice choice)
    {
        json.WriteStartObject("message");
        json.WriteString("role", ChatMessage.Assistant);
        json.WritePlain("content", choice.Text);
        json.WriteNull("refusal");
        json.WriteEndObject();
        WriteLogprobs(json, choice.Tokens);
    }

    protected override void WriteRole(Utf8JsonWriter json)
    {
        json.WriteStartObject("delta");
        json.WriteString("role", ChatMessage.Assistant);
        json.WriteString("content", "");
        json.WriteEndObject();
        json.WriteNull("logprobs");
    }

    protected override void WriteDelta(Utf8JsonWriter json, ChoiceNews news)
    {
        json.WriteStartObject("delta");
        if (!news.Piece.IsEmpty)
        {
            json.WritePlain("content", news.Piece.Text);
        }

        json.WriteEndObject();
        WriteLogprobs(json, news.Piece.Tokens.IsDefaultOrEmpty ? null : news.Piece.Tokens);
    }

    private void WriteLogprobs(Utf8JsonWriter json, IReadOnlyList<Text.TextToken>? tokens)
    {
        if (logprobs is null || tokens is null)
        {
            json.WriteNull("logprobs");
        }
        else
        {
            logprobs.WriteChat(json, tokens);
        }
    }
}
