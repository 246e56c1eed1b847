using Distributed.Engine.Tokenizers;

namespace Distributed.Engine.Generation;

/// <summary>
/// The dialogs of DeepSeek-R1's distillates on Llama and Qwen (the chat_template of DeepSeek-R1-Distill-Qwen-7B): one BOS, the last system message, each question and answer behind a mark, answers without
/// their thoughts and closed by EOS.
/// </summary>
/// <param name="marksAreText">Whether the tokenizer takes the marks for what any text may hold.</param>
/// <param name="beginsThought">Whether the answer is begun with a thought, as the later template does.</param>
public sealed class DeepSeekChatFormat(bool marksAreText, bool beginsThought) : ChatFormat
{
    internal const string Question = "<\uff5cUser\uff5c>";
    internal const string Answer = "<\uff5cAssistant\uff5c>";
    private const string EndThought = "</think>";

    public override string Name => "DeepSeek";

    internal override IReadOnlyList<string> TemplateMarks => [Question, Answer];

    /// <summary>Whether any message contains a mark where marks are text.</summary>
    public override bool HasSpecialTags(IReadOnlyList<ChatMessage> dialog)
    {
        ArgumentNullException.ThrowIfNull(dialog);
        return marksAreText && dialog.Any(message => message.Content.Contains(Question, StringComparison.Ordinal) || message.Content.Contains(Answer, StringComparison.Ordinal));
    }

    public override int[] Encode(IReadOnlyList<ChatMessage> dialog, Tokenizer tokenizer)
    {
        RequireQuestion(dialog);
        var tokens = new List<int> { tokenizer.BosId };
        Add(dialog.LastOrDefault(message => message.Role == ChatMessage.System)?.Content ?? "");
        foreach (var message in dialog)
        {
            if (message.Role == ChatMessage.User)
            {
                AddMark(Question);
                Add(message.Content);
            }
            else if (message.Role == ChatMessage.Assistant)
            {
                AddMark(Answer);
                var thought = message.Content.LastIndexOf(EndThought, StringComparison.Ordinal);
                Add(thought < 0 ? message.Content : message.Content[(thought + EndThought.Length)..]);
                tokens.Add(tokenizer.EosId);
            }
        }

        AddMark(Answer);
        Add(beginsThought ? "<think>\n" : "");
        return [.. tokens];

        void Add(string text) => tokens.AddRange(tokenizer.Encode(text, bos: false, eos: false));

        void AddMark(string mark)
        {
            if (marksAreText)
            {
                Add(mark);
            }
            else
            {
                tokens.Add(Mark(tokenizer, mark));
            }
        }
    }

    /// <summary>The format for a tokenizer; <see langword="null"/> where it lacks the marks, or the tokens at both ends of a text.</summary>
    internal static DeepSeekChatFormat? For(Tokenizer tokenizer, bool beginsThought)
    {
        var marksAreText = tokenizer.SpecialId(Question) < 0;
        var hasMarks = !marksAreText || tokenizer.Encode(Question, bos: false, eos: false).Length == 1;
        return hasMarks && tokenizer.BosId >= 0 && tokenizer.EosId >= 0 ? new DeepSeekChatFormat(marksAreText, beginsThought) : null;
    }
}
