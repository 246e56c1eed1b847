using System.Buffers.Binary;
using System.Text.Unicode;

namespace Distributed.Engine.Tokenizers;

/// <summary>
/// What SentencePiece makes of characters before it cuts a text (<c>precompiled_charsmap</c>, such as that of <c>nmt_nfkc</c>): a trie of
/// sequences and what stands for each, in the form of the reference (google/sentencepiece, src/normalizer.cc; the trie is a double array of
/// s-yata/darts-clone, include/darts.h). Whatever the bytes are, no place outside of them is read, and each step takes bounded time.
/// </summary>
internal sealed class CharacterMap
{
    // Public maps have sequences of up to 18 bytes, and replacements of up to 33.
    private const int MaxSequenceByteCount = 128;
    private const int MaxReplacementByteCount = 128;

    private readonly uint[] _units; // of the trie
    private readonly byte[] _replacements; // each ends with a zero

    private CharacterMap(uint[] units, byte[] replacements) => (_units, _replacements) = (units, replacements);

    /// <summary>Reads the bytes; <see langword="null"/> where they are no such map.</summary>
    /// <param name="bytes">The length of the trie, the trie, and the replacements.</param>
    public static CharacterMap? TryRead(ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length < sizeof(uint)
            || BinaryPrimitives.ReadUInt32LittleEndian(bytes) is var trieByteCount && (trieByteCount % sizeof(uint) != 0 || trieByteCount > bytes.Length - sizeof(uint)))
        {
            return null;
        }

        var trie = bytes.Slice(sizeof(uint), (int)trieByteCount);
        var replacements = bytes[(sizeof(uint) + trie.Length)..];
        if (trie.IsEmpty || !Utf8.IsValid(replacements) || replacements is not [.., 0] || LongestOf(replacements) > MaxReplacementByteCount)
        {
            return null;
        }

        var units = new uint[trie.Length / sizeof(uint)];
        for (var i = 0; i < units.Length; i++)
        {
            units[i] = BinaryPrimitives.ReadUInt32LittleEndian(trie[(i * sizeof(uint))..]);
        }

        return new CharacterMap(units, replacements.ToArray());
    }

    /// <summary>Bytes of the longest sequence at the start of a text that is replaced; 0 for none.</summary>
    /// <param name="text">Any bytes.</param>
    /// <param name="replacement">What stands for it, perhaps nothing.</param>
    public int LongestMatch(ReadOnlySpan<byte> text, out ReadOnlySpan<byte> replacement)
    {
        replacement = [];
        var (longest, value) = (0, 0u);
        var node = Offset(_units[0]);
        for (var i = 0; i < Math.Min(text.Length, MaxSequenceByteCount); i++)
        {
            node ^= text[i];
            if (node >= _units.Length || (_units[node] & 0x800000FF) != text[i])
            {
                break;
            }

            var unit = _units[node];
            node ^= Offset(unit);
            if ((unit & 0x100) != 0 && node < _units.Length)
            {
                (longest, value) = (i + 1, _units[node] & 0x7FFFFFFF);
            }
        }

        // A map that points beyond its replacements, or into a character, is a damaged one: it replaces nothing there.
        if (longest == 0 || value >= _replacements.Length || (_replacements[value] & 0xC0) == 0x80)
        {
            return 0;
        }

        replacement = _replacements.AsSpan((int)value);
        replacement = replacement[..replacement.IndexOf((byte)0)];
        return longest;
    }

    /// <summary>Whether the text, alone, becomes the other.</summary>
    public bool Maps(ReadOnlySpan<byte> text, ReadOnlySpan<byte> other) => LongestMatch(text, out var replacement) == text.Length && replacement.SequenceEqual(other);

    private static uint Offset(uint unit) => (unit >> 10) << (int)((unit & (1u << 9)) >> 6);

    private static int LongestOf(ReadOnlySpan<byte> replacements)
    {
        var longest = 0;
        while (!replacements.IsEmpty)
        {
            var length = replacements.IndexOf((byte)0);
            longest = Math.Max(longest, length);
            replacements = replacements[(length + 1)..];
        }

        return longest;
    }
}
