using System.Text;
using Distributed.Engine.Generation;

namespace Distributed.Worker.Running;

/// <summary>
/// A conversation with whoever types: a line is a message, <c>/reset</c> forgets all, <c>/exit</c> or the end of input ends it.
/// </summary>
internal sealed class InteractiveChat(LeaderSession session, string? systemMessage)
{
    private readonly List<ChatMessage> _history = [.. Opening(systemMessage)];
    private readonly bool _isTerminal = session.Link.UserInputIsTerminal;
    private int _turn;

    /// <summary>The messages before the user's first.</summary>
    public static IEnumerable<ChatMessage> Opening(string? systemMessage)
        => systemMessage is null ? [] : [new ChatMessage(ChatMessage.System, systemMessage)];

    public void Run()
    {
        using var reader = new StreamReader(session.Link.UserInput, Encoding.UTF8);
        using var writer = session.TextWriter();
        if (_isTerminal)
        {
            Console.Error.WriteLine("Type a message; /reset begins a new conversation, /exit ends.");
        }

        while (Ask(reader, writer) is { } line)
        {
            switch (line.Trim())
            {
                case "":
                    break;
                case "/exit":
                    return;
                case "/reset":
                    _history.Clear();
                    _history.AddRange(Opening(systemMessage));
                    break;
                default:
                    Answer(line, writer);
                    break;
            }
        }
    }

    private string? Ask(StreamReader reader, StreamWriter writer)
    {
        Prompt(writer, "You: ");
        return session.WaitFor(reader.ReadLine);
    }

    private void Answer(string line, StreamWriter writer)
    {
        _history.Add(new ChatMessage(ChatMessage.User, line));
        if (Refusal() is { } refusal)
        {
            _history.RemoveAt(_history.Count - 1);
            Console.Error.WriteLine(refusal);
            return;
        }

        Prompt(writer, "Assistant: ");
        var options = session.Options.Generation with { FirstRow = _turn++ };
        var result = session.Generator.CompleteChat([_history], options, update =>
        {
            writer.Write(update.Text);
            writer.Flush();
        })[0];
        writer.WriteLine();
        writer.Flush();
        var answer = new ChatMessage(ChatMessage.Assistant, result.Text);
        if (session.Generator.ChatFormat.HasSpecialTags([answer]))
        {
            _history.RemoveAt(_history.Count - 1);
            Console.Error.WriteLine("The answer contains tags of the chat format; the conversation goes on without this question.");
            return;
        }

        _history.Add(answer);
        var limit = session.Preparation.Limits.MaxSequenceLength;
        if (result.PromptTokens.Count + result.Tokens.Count >= limit)
        {
            Console.Error.WriteLine($"The answer was cut: the conversation fills all {limit} positions of max_seq_len; /reset begins anew.");
        }
    }

    // A sentence if the conversation, as it stands, cannot be answered.
    private string? Refusal()
    {
        if (session.Generator.ChatFormat.HasSpecialTags(_history))
        {
            return ChatFormat.SpecialTagsError;
        }

        var count = session.Generator.ChatFormat.Encode(_history, session.Preparation.Tokenizer).Length;
        var limit = session.Preparation.Limits.MaxSequenceLength;
        return count < limit
            ? null
            : $"The conversation has {count} tokens and max_seq_len is {limit}: no room for an answer; /reset begins anew.";
    }

    private void Prompt(StreamWriter writer, string text)
    {
        if (_isTerminal)
        {
            writer.Write(text);
            writer.Flush();
        }
    }
}
