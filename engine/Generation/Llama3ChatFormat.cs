using System.Collections.Immutable;
using Distributed.Engine.Tokenizers;

namespace Distributed.Engine.Generation;

/// <summary>
/// Llama 3's dialogs: one BOS, then for each message its role between two marks, an empty line, its stripped text and a mark of its end; at
/// last the header of the answer (meta-llama/llama3, llama/tokenizer.py, ChatFormat).
/// </summary>
public sealed class Llama3ChatFormat : ChatFormat
{
    internal const string BeginHeader = "<|start_header_id|>";
    private const string EndHeader = "<|end_header_id|>";
    private const string EndOfTurn = "<|eot_id|>";
    private const string EndOfMessage = "<|eom_id|>";
    private const string EndOfText = "<|end_of_text|>";

    public override string Name => "Llama-3";

    internal override IReadOnlyList<string> TemplateMarks => [BeginHeader];

    public override int[] Encode(IReadOnlyList<ChatMessage> dialog, Tokenizer tokenizer)
    {
        RequireQuestion(dialog);
        var tokens = new List<int> { tokenizer.BosId };
        foreach (var message in dialog)
        {
            AddHeader(message.Role);
            tokens.AddRange(tokenizer.Encode(Strip(message.Content), bos: false, eos: false));
            tokens.Add(Mark(tokenizer, EndOfTurn));
        }

        AddHeader(ChatMessage.Assistant);
        return [.. tokens];

        void AddHeader(string role)
        {
            tokens.Add(Mark(tokenizer, BeginHeader));
            tokens.AddRange(tokenizer.Encode(role, bos: false, eos: false));
            tokens.Add(Mark(tokenizer, EndHeader));
            tokens.AddRange(tokenizer.Encode("\n\n", bos: false, eos: false));
        }
    }

    public override ImmutableArray<int> StopTokenIds(Tokenizer tokenizer)
        => [.. new[] { EndOfTurn, EndOfMessage, EndOfText }.Select(tokenizer.SpecialId).Where(id => id >= 0)];
}
