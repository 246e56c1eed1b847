using Distributed.Engine.Tokenizers;

namespace Distributed.Engine.Generation;

/// <summary>
/// How Llama-2-chat reads a dialog: each user turn between [INST] and [/INST], each answered turn closed by EOS, one BOS a turn, the system
/// message folded into the first user turn (meta-llama/llama generation.py, chat_completion).
/// </summary>
public static class Llama2ChatFormat
{
    /// <summary>What the reference answers to a dialog that contains one of the format's own tags.</summary>
    public const string SpecialTagsError = "Error: special tags are not allowed as part of the prompt.";

    private const string BeginInstruction = "[INST]";
    private const string EndInstruction = "[/INST]";
    private const string BeginSystem = "<<SYS>>\n";
    private const string EndSystem = "\n<</SYS>>\n\n";

    /// <summary>Whether any message contains a tag of the format, with which its author could speak in another role's name.</summary>
    public static bool HasSpecialTags(IReadOnlyList<ChatMessage> dialog)
    {
        ArgumentNullException.ThrowIfNull(dialog);
        return dialog.Any(message =>
            message.Content.Contains(BeginInstruction, StringComparison.Ordinal)
            || message.Content.Contains(EndInstruction, StringComparison.Ordinal)
            || message.Content.Contains("<<SYS>>", StringComparison.Ordinal)
            || message.Content.Contains("<</SYS>>", StringComparison.Ordinal));
    }

    /// <summary>The prompt of a dialog that ends with a user's message.</summary>
    /// <exception cref="GenerationException">The roles are not (system,) user, assistant, user, ... ending with user.</exception>
    public static int[] Encode(IReadOnlyList<ChatMessage> dialog, SentencePieceTokenizer tokenizer)
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

    private static void RequireAlternatingRoles(IReadOnlyList<ChatMessage> turns)
    {
        for (var index = 0; index < turns.Count; index++)
        {
            if (turns[index].Role != (index % 2 == 0 ? ChatMessage.User : ChatMessage.Assistant))
            {
                throw new GenerationException(
                    "model only supports 'system', 'user' and 'assistant' roles, starting with 'system', then 'user' and alternating "
                    + $"(u/a/u/a/u...), but message {index + 1} after the system message is from '{turns[index].Role}'.");
            }
        }

        if (turns.Count % 2 == 0)
        {
            throw new GenerationException($"Last message must be from user, got {turns[^1].Role}.");
        }
    }

    private static string Instruction(ChatMessage turn) => $"{BeginInstruction} {Strip(turn.Content)} {EndInstruction}";

    // Python's str.strip(): Unicode white space and the four separators U+001C to U+001F, which .NET does not count as such.
    private static string Strip(string text)
    {
        var start = 0;
        var end = text.Length;
        while (start < end && IsSpace(text[start]))
        {
            start++;
        }

        while (end > start && IsSpace(text[end - 1]))
        {
            end--;
        }

        return text[start..end];

        static bool IsSpace(char character) => char.IsWhiteSpace(character) || character is >= '\u001C' and <= '\u001F';
    }
}
