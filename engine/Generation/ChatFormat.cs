using System.Collections.Immutable;
using Distributed.Engine.Checkpoints;
using Distributed.Engine.Tokenizers;

namespace Distributed.Engine.Generation;

/// <summary>
/// How a model was taught to read a dialog. Marks between messages are ids that no text encodes to; in a format whose marks are text, a
/// message that contains them is refused, so that no author can speak in another role's name.
/// </summary>
public abstract class ChatFormat
{
    /// <summary>What is answered to a dialog that contains the format's own tags (the reference's sentence).</summary>
    public const string SpecialTagsError = "Error: special tags are not allowed as part of the prompt.";

    /// <summary>The format's name, for the user.</summary>
    public abstract string Name { get; }

    /// <summary>Whether the model thinks before it answers and can be told not to.</summary>
    public virtual bool CanThink => false;

    /// <summary>What a chat template of this format has in it.</summary>
    internal abstract IReadOnlyList<string> TemplateMarks { get; }

    /// <summary>
    /// The format of a model: that of its chat template where it is a known one; else Llama 3's, ChatML or Mistral's of version 7 where the tokenizer has its marks, Mistral's
    /// older one for its architecture, else Llama 2's.
    /// </summary>
    /// <param name="checkpoint">The model.</param>
    /// <param name="tokenizer">Its tokenizer.</param>
    /// <param name="template">Its chat template; <see langword="null"/> for none.</param>
    /// <param name="enableThinking">Whether models that think before they answer do.</param>
    public static ChatFormat Of(CheckpointSource checkpoint, Tokenizer tokenizer, ChatTemplate? template = null, bool enableThinking = true)
    {
        ArgumentNullException.ThrowIfNull(checkpoint);
        ArgumentNullException.ThrowIfNull(tokenizer);
        return template?.ToFormat(tokenizer, enableThinking) is { } known ? known
            : tokenizer.SpecialId(Llama3ChatFormat.BeginHeader) >= 0 ? new Llama3ChatFormat()
            : tokenizer.SpecialId(ChatMLFormat.Begin) >= 0 ? new ChatMLFormat()
            : tokenizer.SpecialId(MistralV7ChatFormat.BeginSystem) >= 0 ? new MistralV7ChatFormat()
            : checkpoint.Family == ModelFamily.Mistral ? new MistralChatFormat(tokenizer.SpecialId(MistralChatFormat.Begin) >= 0)
            : new Llama2ChatFormat();
    }

    /// <summary>Whether any message contains text that is a mark of the format.</summary>
    public virtual bool HasSpecialTags(IReadOnlyList<ChatMessage> dialog) => false;

    /// <summary>The prompt of a dialog that ends with a user's message.</summary>
    /// <exception cref="GenerationException">The roles cannot be put into this format.</exception>
    public abstract int[] Encode(IReadOnlyList<ChatMessage> dialog, Tokenizer tokenizer);

    /// <summary>The tokens that end an answer, beside those that end any text; empty for no others.</summary>
    public virtual ImmutableArray<int> StopTokenIds(Tokenizer tokenizer) => [];

    /// <summary>The id of a mark, which the tokenizer has wherever this format was chosen.</summary>
    private protected static int Mark(Tokenizer tokenizer, string token)
        => tokenizer.SpecialId(token) is >= 0 and var id
            ? id
            : throw new GenerationException($"The tokenizer lacks {token}, which this chat format needs; use the checkpoint's own tokenizer.");

    /// <summary>Fails where a dialog is empty or does not end with a user's message.</summary>
    private protected static void RequireQuestion(IReadOnlyList<ChatMessage> dialog)
    {
        ArgumentNullException.ThrowIfNull(dialog);
        if (dialog.Count == 0)
        {
            throw new GenerationException("A dialog has no messages; it needs at least one from user.");
        }

        if (dialog[^1].Role != ChatMessage.User)
        {
            throw new GenerationException($"Last message must be from user, got {dialog[^1].Role}.");
        }
    }

    /// <summary>Fails where the messages are not from user and assistant in turn, the first and the last from user.</summary>
    private protected static void RequireAlternatingRoles(IReadOnlyList<ChatMessage> turns)
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

    /// <summary>
    /// Python's str.strip(): Unicode white space and the four separators U+001C to U+001F, which .NET does not count as such.
    /// </summary>
    private protected static string Strip(string text)
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
