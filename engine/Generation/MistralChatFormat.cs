using Distributed.Engine.Tokenizers;

namespace Distributed.Engine.Generation;

/// <summary>
/// Mistral's dialogs (mistralai/mistral-common, tokens/tokenizers/instruct.py): one BOS, each question between [INST] and [/INST], each answer
/// closed by EOS. Up to version 2 of the tokenizer the marks are text and the system message stands before the first question; from version
/// 3 on they are tokens and it stands before the last.
/// </summary>
/// <param name="hasMarks">Whether the tokenizer has the marks as tokens.</param>
public sealed class MistralChatFormat(bool hasMarks) : ChatFormat
{
    internal const string Begin = "[INST]";
    private const string End = "[/INST]";

    public override string Name => "Mistral";

    internal override IReadOnlyList<string> TemplateMarks => [Begin, End];

    /// <summary>Whether any message contains a mark where marks are text; as tokens they are none in any text.</summary>
    public override bool HasSpecialTags(IReadOnlyList<ChatMessage> dialog)
    {
        ArgumentNullException.ThrowIfNull(dialog);
        return !hasMarks && dialog.Any(message =>
            message.Content.Contains(Begin, StringComparison.Ordinal) || message.Content.Contains(End, StringComparison.Ordinal));
    }

    public override int[] Encode(IReadOnlyList<ChatMessage> dialog, Tokenizer tokenizer)
    {
        RequireQuestion(dialog);
        var turns = FoldSystemMessage(dialog, intoLast: hasMarks);
        RequireAlternatingRoles(turns);
        var tokens = new List<int> { tokenizer.BosId };
        foreach (var turn in turns)
        {
            if (turn.Role == ChatMessage.Assistant)
            {
                tokens.AddRange(tokenizer.Encode(turn.Content, bos: false, eos: true));
            }
            else if (hasMarks)
            {
                tokens.Add(Mark(tokenizer, Begin));
                tokens.AddRange(tokenizer.Encode(turn.Content, bos: false, eos: false));
                tokens.Add(Mark(tokenizer, End));
            }
            else
            {
                tokens.AddRange(tokenizer.Encode($"{Begin} {turn.Content} {End}", bos: false, eos: false));
            }
        }

        return [.. tokens];
    }

    private static List<ChatMessage> FoldSystemMessage(IReadOnlyList<ChatMessage> dialog, bool intoLast)
    {
        List<ChatMessage> turns = [.. dialog];
        if (turns[0].Role == ChatMessage.System)
        {
            var index = intoLast ? turns.Count - 1 : 1;
            turns[index] = turns[index] with { Content = $"{turns[0].Content}\n\n{turns[index].Content}" };
            turns.RemoveAt(0);
        }

        return turns;
    }
}
