using System.Collections.Immutable;
using Distributed.Engine.Tokenizers;

namespace Distributed.Engine.Generation;

/// <summary>
/// Llama 3's dialogs: one BOS, then for each message its role between two marks, an empty line, its stripped text and a mark of its end; at
/// last the header of the answer (meta-llama/llama3, llama/tokenizer.py, ChatFormat).
/// </summary>
/// <param name="date">
/// From 3.1 on the system message begins with two dates: that of the model's knowledge and today's, <c>26 Jul 2024</c>, which this gives (the chat_template of
/// Llama-3.1-8B-Instruct). <see langword="null"/> for a dialog without them.
/// </param>
public sealed class Llama3ChatFormat(Func<string>? date = null) : ChatFormat
{
    /// <summary>Today as far as the templates of Llama 3.1 and 3.3 know.</summary>
    internal const string FixedDate = "26 Jul 2024";
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
        var hasSystemMessage = dialog[0].Role == ChatMessage.System;
        if (date is not null)
        {
            var own = hasSystemMessage ? Strip(dialog[0].Content) : "";
            AddMessage(ChatMessage.System, $"Cutting Knowledge Date: December 2023\nToday Date: {date()}\n\n{own}");
        }

        foreach (var message in dialog.Skip(date is not null && hasSystemMessage ? 1 : 0))
        {
            AddMessage(message.Role, Strip(message.Content));
        }

        AddHeader(ChatMessage.Assistant);
        return [.. tokens];

        void AddMessage(string role, string content)
        {
            AddHeader(role);
            tokens.AddRange(tokenizer.Encode(content, bos: false, eos: false));
            tokens.Add(Mark(tokenizer, EndOfTurn));
        }

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
