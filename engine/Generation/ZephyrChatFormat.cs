using Distributed.Engine.Tokenizers;

namespace Distributed.Engine.Generation;

/// <summary>
/// Zephyr's dialogs, which TinyLlama-Chat has too: each message behind its role, a mark of text on a line of its own, and closed by EOS; no BOS
/// (the chat_template of HuggingFaceH4/zephyr-7b-beta).
/// </summary>
public sealed class ZephyrChatFormat : ChatFormat
{
    private static readonly string[] Marks = ["<|system|>", "<|user|>", "<|assistant|>"];

    public override string Name => "Zephyr";

    internal override IReadOnlyList<string> TemplateMarks => Marks;

    public override bool HasSpecialTags(IReadOnlyList<ChatMessage> dialog)
    {
        ArgumentNullException.ThrowIfNull(dialog);
        return dialog.Any(message => Array.Exists(Marks, mark => message.Content.Contains(mark, StringComparison.Ordinal)));
    }

    public override int[] Encode(IReadOnlyList<ChatMessage> dialog, Tokenizer tokenizer)
    {
        RequireQuestion(dialog);
        if (tokenizer.EosId < 0)
        {
            throw new GenerationException("The tokenizer says no token that ends a text, which this chat format needs; use the checkpoint's own tokenizer.");
        }

        var tokens = new List<int>();
        var lineEnd = "";
        foreach (var message in dialog)
        {
            tokens.AddRange(tokenizer.Encode($"{lineEnd}<|{message.Role}|>\n{message.Content}", bos: false, eos: true));
            lineEnd = "\n"; // is cut together with what follows it
        }

        tokens.AddRange(tokenizer.Encode($"{lineEnd}<|{ChatMessage.Assistant}|>\n", bos: false, eos: false));
        return [.. tokens];
    }
}
