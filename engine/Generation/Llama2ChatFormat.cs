using Distributed.Engine.Tokenizers;

namespace Distributed.Engine.Generation;

/// <summary>
/// How Llama-2-chat reads a dialog: each user turn between [INST] and [/INST], each answered turn closed by EOS, one BOS a turn, the system
/// message folded into the first user turn (meta-llama/llama generation.py, chat_completion).
/// </summary>
public sealed class Llama2ChatFormat : ChatFormat
{
    private const string BeginInstruction = "[INST]";
    private const string EndInstruction = "[/INST]";
    private const string BeginSystem = "<<SYS>>\n";
    private const string EndSystem = "\n<</SYS>>\n\n";

    public override string Name => "Llama-2";

    internal override IReadOnlyList<string> TemplateMarks => [BeginInstruction, "<<SYS>>"];

    public override bool HasSpecialTags(IReadOnlyList<ChatMessage> dialog)
    {
        ArgumentNullException.ThrowIfNull(dialog);
        return dialog.Any(message =>
            message.Content.Contains(BeginInstruction, StringComparison.Ordinal)
            || message.Content.Contains(EndInstruction, StringComparison.Ordinal)
            || message.Content.Contains("<<SYS>>", StringComparison.Ordinal)
            || message.Content.Contains("<</SYS>>", StringComparison.Ordinal));
    }

    public override int[] Encode(IReadOnlyList<ChatMessage> dialog, Tokenizer tokenizer)
    {
        ArgumentNullException.ThrowIfNull(dialog);
        ArgumentNullException.ThrowIfNull(tokenizer);
        var turns = FoldSystemMessage(dialog);
        RequireAlternatingRoles(turns);
        var tokens = new List<int>();
        for (var index = 0; index + 1 < turns.Count; index += 2)
        {
            var answered = $"{Instruction(turns[index])} {Strip(turns[index + 1].Content)} ";
            tokens.AddRange(tokenizer.Encode(answered, bos: true, eos: true));
        }

        tokens.AddRange(tokenizer.Encode(Instruction(turns[^1]), bos: true, eos: false));
        return [.. tokens];
    }

    private static IReadOnlyList<ChatMessage> FoldSystemMessage(IReadOnlyList<ChatMessage> dialog)
    {
        if (dialog.Count == 0)
        {
            throw new GenerationException("A dialog has no messages; it needs at least one from user.");
        }

        if (dialog[0].Role != ChatMessage.System)
        {
            return dialog;
        }

        if (dialog.Count == 1)
        {
            throw new GenerationException("A dialog has only a system message; add a message from user after it.");
        }

        var first = dialog[1] with { Content = BeginSystem + dialog[0].Content + EndSystem + dialog[1].Content };
        return [first, .. dialog.Skip(2)];
    }

    private static string Instruction(ChatMessage turn) => $"{BeginInstruction} {Strip(turn.Content)} {EndInstruction}";
}
