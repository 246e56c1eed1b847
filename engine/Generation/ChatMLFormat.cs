using System.Collections.Immutable;
using Distributed.Engine.Tokenizers;

namespace Distributed.Engine.Generation;

/// <summary>
/// ChatML, which Qwen and SmolLM use: each message between two marks, its role on a line of its own (the chat_template of Qwen2.5). No system
/// message is added where the dialog has none.
/// </summary>
public sealed class ChatMLFormat : ChatFormat
{
    internal const string Begin = "<|im_start|>";
    private const string End = "<|im_end|>";

    public override string Name => "ChatML";

    internal override IReadOnlyList<string> TemplateMarks => [Begin];

    public override int[] Encode(IReadOnlyList<ChatMessage> dialog, Tokenizer tokenizer)
    {
        RequireQuestion(dialog);
        var tokens = new List<int>();
        foreach (var message in dialog)
        {
            Add($"{message.Role}\n{message.Content}");
            tokens.Add(Mark(tokenizer, End));
            tokens.AddRange(tokenizer.Encode("\n", bos: false, eos: false));
        }

        Add($"{ChatMessage.Assistant}\n");
        return [.. tokens];

        void Add(string text)
        {
            tokens.Add(Mark(tokenizer, Begin));
            tokens.AddRange(tokenizer.Encode(text, bos: false, eos: false));
        }
    }

    public override ImmutableArray<int> StopTokenIds(Tokenizer tokenizer) => [Mark(tokenizer, End)];
}
