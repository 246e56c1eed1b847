using System.Text.Json;
using Distributed.Worker.Output;
using Distributed.Worker.Serving.Text;

namespace Distributed.Worker.Serving.Responses;

/// <summary>The documents of a text completion.</summary>
/// <param name="head">What each begins with.</param>
/// <param name="logprobs">Writes log probabilities; <see langword="null"/> where none are wanted.</param>
/// <param name="alternativeCount">Alternatives a token, where they are.</param>
internal sealed class CompletionDocuments(AnswerHead head, LogprobsJson? logprobs, int alternativeCount) : AnswerDocuments(head)
{
    public override bool HasFrame => false;

    protected override string Kind => "text_completion";

    protected override string ChunkKind => "text_completion";

    protected override void WriteChoice(Utf8JsonWriter json, Choice choice) => Write(json, choice.Text, choice.Tokens);

    protected override void WriteDelta(Utf8JsonWriter json, ChoiceNews news)
        => Write(json, news.Piece.Text, news.Piece.Tokens.IsDefaultOrEmpty ? null : news.Piece.Tokens);

    private void Write(Utf8JsonWriter json, string text, IReadOnlyList<TextToken>? tokens)
    {
        json.WritePlain("text", text);
        if (logprobs is null || tokens is null)
        {
            json.WriteNull("logprobs");
        }
        else
        {
            logprobs.WriteText(json, tokens, alternativeCount);
        }
    }
}
