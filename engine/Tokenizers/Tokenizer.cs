using System.Text;

namespace Distributed.Engine.Tokenizers;

/// <summary>
/// Turns text into the ids of a model and back, with the results of the model's own implementation. Safe for use by several threads at once.
/// </summary>
public abstract class Tokenizer
{
    /// <summary>The kind of model and of file, for the user: <c>SentencePiece BPE</c>.</summary>
    public abstract string Kind { get; }

    /// <summary>The number of ids, 0 to this less one.</summary>
    public abstract int VocabularySize { get; }

    /// <summary>Begins a text; -1 where the model has no such token.</summary>
    public abstract int BosId { get; }

    /// <summary>Ends a text; -1 where the tokenizer's file does not say, and the checkpoint's config has to.</summary>
    public abstract int EosId { get; }

    /// <summary>Reads a tokenizer of any kind that is known, which the file's content tells.</summary>
    /// <param name="path">tokenizer.json, a SentencePiece tokenizer.model, or a file of tiktoken's as Llama 3 has it.</param>
    /// <exception cref="TokenizerFormatException">
    /// The file is missing, damaged, or of a kind that is not read; the message is one sentence for the user.
    /// </exception>
    public static Tokenizer Load(string path)
    {
        if (path.EndsWith(".json", StringComparison.OrdinalIgnoreCase))
        {
            return TokenizerJson.Load(path);
        }

        return TiktokenFile.IsOne(path) ? TiktokenFile.Load(path) : SentencePieceTokenizer.Load(path);
    }

    /// <summary>
    /// The ids of a text. Special tokens written out in it (<c>&lt;s&gt;</c>, <c>&lt;|eot_id|&gt;</c>) are ordinary text; a lone surrogate is
    /// U+FFFD.
    /// </summary>
    /// <param name="text">Any text; nothing gives no ids but the two below.</param>
    /// <param name="bos">Put <see cref="BosId"/> in front, where there is one.</param>
    /// <param name="eos">Put <see cref="EosId"/> behind, where there is one.</param>
    public abstract int[] Encode(string text, bool bos, bool eos);

    /// <summary>The piece of an id as the model writes it: <c>▁a</c>, <c>&lt;0x0A&gt;</c>, <c>&lt;s&gt;</c>.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The id is not 0 to <see cref="VocabularySize"/> - 1.</exception>
    public abstract string Piece(int id);

    /// <summary>The id of a special token, such as <c>&lt;|im_start|&gt;</c>; -1 where the model has none of this name.</summary>
    public abstract int SpecialId(string token);

    /// <summary>The text of ids: special tokens say nothing, and bytes that are no UTF-8 are U+FFFD.</summary>
    /// <exception cref="ArgumentOutOfRangeException">An id is negative.</exception>
    public string Decode(ReadOnlySpan<int> ids)
    {
        var decoder = new Utf8StreamDecoder(this);
        var text = new StringBuilder();
        foreach (var id in ids)
        {
            text.Append(decoder.Push(id));
        }

        return text.Append(decoder.Flush()).ToString();
    }

    /// <summary>What an id adds in the midst of a text, in UTF-8: perhaps a part of a character, and for a special token nothing.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The id is not 0 to <see cref="VocabularySize"/> - 1.</exception>
    public byte[] Utf8Of(int id)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(id);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(id, VocabularySize);
        var bytes = BytesOf(id);
        return bytes.IsEmpty ? Encoding.UTF8.GetBytes(TextOf(id, atStart: false, out _)) : bytes.ToArray();
    }

    /// <summary>The bytes that an id stands for, which its neighbours may complete; empty where it stands for text or for nothing.</summary>
    internal abstract ReadOnlySpan<byte> BytesOf(int id);

    /// <summary>The text of an id that has no bytes.</summary>
    /// <param name="id">Any.</param>
    /// <param name="atStart">Nothing was decoded before it, so the space that encoding put there is left out.</param>
    /// <param name="startConsumed">It was there and the only one: what follows is no longer at the start.</param>
    internal abstract string TextOf(int id, bool atStart, out bool startConsumed);
}
