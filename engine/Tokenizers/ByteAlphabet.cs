using System.Collections.Frozen;

namespace Distributed.Engine.Tokenizers;

/// <summary>
/// GPT-2's printable spelling of bytes, in which byte-level vocabularies are written (openai/gpt-2, src/encoder.py): printable Latin-1
/// characters stand for themselves, the other 68 bytes for U+0100 and what follows, in order. A space is U+0120.
/// </summary>
internal static class ByteAlphabet
{
    private static readonly char[] Characters = Make(); // [byte]

    private static readonly FrozenDictionary<char, byte> Bytes
        = Characters.Index().ToFrozenDictionary(entry => entry.Item, entry => (byte)entry.Index);

    /// <summary>The spelling of a byte.</summary>
    public static char Of(byte value) => Characters[value];

    /// <summary>The bytes that a text spells; <see langword="null"/> where a character spells none.</summary>
    public static byte[]? TryRead(string text)
    {
        var bytes = new byte[text.Length];
        for (var i = 0; i < text.Length; i++)
        {
            if (!Bytes.TryGetValue(text[i], out bytes[i]))
            {
                return null;
            }
        }

        return bytes;
    }

    private static char[] Make()
    {
        var next = '\u0100';
        return [.. Enumerable.Range(0, 256).Select(value => value is (>= '!' and <= '~') or (>= 0xA1 and <= 0xAC) or >= 0xAE ? (char)value : next++)];
    }
}
