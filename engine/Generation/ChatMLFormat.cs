using System.Collections.Immutable;
using Distributed.Engine.Tokenizers;

namespace Distributed.Engine.Generation;

/// <summary>
/// ChatML, which Qwen and SmolLM use: each message between two marks, its role on a line of its own (the chat_template of Qwen2.5).
/// </summary>
/// <param name="systemMessage">What a dialog without a system message begins with; <see langword="null"/> for nothing.</param>
/// <param name="enableThinking">
/// Of models that think before they answer, as Qwen3: whether they do; if not, the answer begins behind an empty thought. Earlier answers are shown
/// without their thoughts either way. <see langword="null"/> for models that do not.
/// </param>
public sealed class ChatMLFormat(string? systemMessage = null, bool? enableThinking = null) : ChatFormat
{
    internal const string Begin = "<|im_start|>";
    private const string End = "<|im_end|>";
    private const string EndThought = "</think>";

    public override string Name => "ChatML";

    /// <inheritdoc/>
    public override bool CanThink => enableThinking is not null;

    internal override IReadOnlyList<string> TemplateMarks => [Begin];

    public override int[] Encode(IReadOnlyList<ChatMessage> dialog, Tokenizer tokenizer)
    {
        RequireQuestion(dialog);
        var tokens = new List<int>();
        if (systemMessage is not null && dialog[0].Role != ChatMessage.System)
        {
            AddMessage(ChatMessage.System, systemMessage);
        }

        foreach (var message in dialog)
        {
            AddMessage(message.Role, message.Role == ChatMessage.Assistant && CanThink ? WithoutThought(message.Content) : message.Content);
        }

        Add(enableThinking == false ? $"{ChatMessage.Assistant}\n<think>\n\n{EndThought}\n\n" : $"{ChatMessage.Assistant}\n");
        return [.. tokens];

        void AddMessage(string role, string content)
        {
            Add($"{role}\n{content}");
            tokens.Add(Mark(tokenizer, End));
            tokens.AddRange(tokenizer.Encode("\n", bos: false, eos: false));
        }

        void Add(string text)
        {
            tokens.Add(Mark(tokenizer, Begin));
            tokens.AddRange(tokenizer.Encode(text, bos: false, eos: false));
        }
    }

    private static string WithoutThought(string content)
        => content.LastIndexOf(EndThought, StringComparison.Ordinal) is >= 0 and var at ? content[(at + EndThought.Length)..].TrimStart('\n') : content;

    public override ImmutableArray<int> StopTokenIds(Tokenizer tokenizer) => [Mark(tokenizer, End)];
}
