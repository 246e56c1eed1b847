using Distributed.Engine.Tokenizers;

namespace Distributed.Engine.Generation;

/// <summary>
/// Mistral's dialogs from version 7 of the tokenizer on (mistralai/mistral-common, tokens/tokenizers/instruct.py): one BOS, each system message and each question between
/// marks of its own, where it stands, each answer closed by EOS.
/// </summary>
/// <param name="systemMessage">What a dialog without a system message begins with; <see langword="null"/> for nothing.</param>
public sealed class MistralV7ChatFormat(Func<string>? systemMessage = null) : ChatFormat
{
    internal const string BeginSystem = "[SYSTEM_PROMPT]";
    private const string EndSystem = "[/SYSTEM_PROMPT]";
    private const string EndQuestion = "[/INST]";

    public override string Name => "Mistral V7";

    internal override IReadOnlyList<string> TemplateMarks => [BeginSystem, MistralChatFormat.Begin];

    /// <summary>What Mistral Small 3 is told where a dialog has no system message (the chat_template of Mistral-Small-24B-Instruct-2501).</summary>
    /// <param name="today">As <c>2025-01-30</c>.</param>
    internal static string Small3(string today)
        => "You are Mistral Small 3, a Large Language Model (LLM) created by Mistral AI, a French startup headquartered in Paris.\n"
            + $"Your knowledge base was last updated on 2023-10-01. The current date is {today}.\n\n"
            + "When you're not sure about some information, you say that you don't have the information and don't make up anything.\n"
            + "If the user's question is not clear, ambiguous, or does not provide enough context for you to accurately answer the question, you do not try to answer it "
            + "right away and you rather ask the user to clarify their request (e.g. \"What are some good restaurants around me?\" => \"Where are you?\" or "
            + "\"When is the next flight to Tokyo\" => \"Where do you travel from?\")";

    public override int[] Encode(IReadOnlyList<ChatMessage> dialog, Tokenizer tokenizer)
    {
        RequireQuestion(dialog);
        var tokens = new List<int> { tokenizer.BosId };
        if (systemMessage is not null && dialog[0].Role != ChatMessage.System)
        {
            AddBetween(BeginSystem, systemMessage(), EndSystem);
        }

        foreach (var message in dialog)
        {
            switch (message.Role)
            {
                case ChatMessage.System: AddBetween(BeginSystem, message.Content, EndSystem); break;
                case ChatMessage.User: AddBetween(MistralChatFormat.Begin, message.Content, EndQuestion); break;
                default: tokens.AddRange(tokenizer.Encode(message.Content, bos: false, eos: true)); break;
            }
        }

        return [.. tokens];

        void AddBetween(string begin, string content, string end)
        {
            tokens.Add(Mark(tokenizer, begin));
            tokens.AddRange(tokenizer.Encode(content, bos: false, eos: false));
            tokens.Add(Mark(tokenizer, end));
        }
    }
}
