namespace Distributed.Engine.Tokenizers;

/// <summary>
/// GPT-2's printable spelling of bytes, in which byte-level vocabularies are written (openai/gpt-2, src/encoder.py): printable Latin-1
/// characters stand for themselves, the other 68 bytes for U+0100 and what follows, in order. A space is U+0120.
/// </summary>
internal static class ByteAlphabet
{
    private static readonly char[] Characters = Make(); // [byte]

    private static readonly short[] Bytes = Inverse(); // [character], -1 for none

    /// <summary>The spelling of a byte.</summary>
    public static char Of(byte value) => Characters[value];

    /// <summary>The bytes that a text spells.</summary>
    /// <param name="utf8">Valid UTF-8.</param>
    /// <param name="bytes">At least as long.</param>
    /// <returns>Their number; -1 where a character spells none.</returns>
    public static int TryRead(ReadOnlySpan<byte> utf8, Span<byte> bytes)
    {
        var count = 0;
        for (var i = 0; i < utf8.Length; i++)
        {
            // The alphabet ends far below U+0800, from which on characters have three bytes.
            var character = utf8[i] < 0x80 ? utf8[i] : utf8[i] < 0xE0 ? ((utf8[i] & 0x1F) << 6) | (utf8[++i] & 0x3F) : int.MaxValue;
            if (character >= Bytes.Length || Bytes[character] < 0)
            {
                return -1;
            }

            bytes[count++] = (byte)Bytes[character];
        }

        return count;
    }

    private static char[] Make()
    {
        var next = '\u0100';
        return [.. Enumerable.Range(0, 256).Select(value => value is (>= '!' and <= '~') or (>= 0xA1 and <= 0xAC) or >= 0xAE ? (char)value : next++)];
    }

    private static short[] Inverse()
    {
        var bytes = new short[Characters.Max() + 1];
        Array.Fill(bytes, (short)-1);
        foreach (var (value, character) in Characters.Index())
        {
            bytes[character] = (short)value;
        }

        return bytes;
    }
}
