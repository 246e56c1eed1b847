using System.Buffers;

namespace Distributed.Engine.Tokenizers;

/// <summary>
/// SentencePiece's normalizer (google/sentencepiece, src/normalizer.cc): characters become what the model's map says, spaces U+2581, a byte
/// that is no UTF-8 U+FFFD, and extra spaces go where the model says so.
/// </summary>
internal static class SpaceNormalizer
{
    /// <summary>U+2581, LOWER ONE EIGHTH BLOCK, in the place of a space.</summary>
    private static ReadOnlySpan<byte> Space => "\u2581"u8;

    private static ReadOnlySpan<byte> Replacement => "\uFFFD"u8;

    /// <summary>The normalized text, valid UTF-8; empty for a text of nothing (but removable spaces).</summary>
    /// <param name="text">UTF-8, or nearly.</param>
    /// <param name="addDummyPrefix">Put a space in front.</param>
    /// <param name="removeExtraWhitespaces">Drop spaces at both ends and all but one of a run.</param>
    /// <param name="userDefined">Pieces within which all stays as it is; <see langword="null"/> for none.</param>
    /// <param name="characters">What characters become; <see langword="null"/> where they stay.</param>
    public static ReadOnlySpan<byte> Normalize(
        ReadOnlySpan<byte> text, bool addDummyPrefix, bool removeExtraWhitespaces, SortedPieces? userDefined, CharacterMap? characters = null)
    {
        while (removeExtraWhitespaces && !text.IsEmpty && NextUnit(text, userDefined, characters, out var length) is [(byte)' '])
        {
            text = text[length..];
        }

        if (text.IsEmpty)
        {
            return [];
        }

        var normalized = new ArrayBufferWriter<byte>(checked(text.Length + (text.Length / 2) + Space.Length));
        if (addDummyPrefix)
        {
            normalized.Write(Space);
        }

        var afterSpace = removeExtraWhitespaces;
        while (!text.IsEmpty)
        {
            var unit = NextUnit(text, userDefined, characters, out var length);
            text = text[length..];
            unit = afterSpace ? unit.TrimStart((byte)' ') : unit;
            afterSpace = removeExtraWhitespaces && (unit.IsEmpty ? afterSpace : unit[^1] == (byte)' ');
            for (var space = unit.IndexOf((byte)' '); space >= 0; space = unit.IndexOf((byte)' '))
            {
                normalized.Write(unit[..space]);
                normalized.Write(Space);
                unit = unit[(space + 1)..];
            }

            normalized.Write(unit);
        }

        // The reference trims what looks like a space by now, so a literal U+2581 at the end goes too.
        var result = normalized.WrittenSpan;
        while (removeExtraWhitespaces && result.EndsWith(Space))
        {
            result = result[..^Space.Length];
        }

        return result;
    }

    /// <summary>What the text begins with, as it is to be: a user-defined piece, what the map replaces, a character, or a byte that is none.</summary>
    private static ReadOnlySpan<byte> NextUnit(ReadOnlySpan<byte> text, SortedPieces? userDefined, CharacterMap? characters, out int length)
    {
        length = userDefined?.LongestMatch(text) ?? 0;
        if (length > 0)
        {
            return text[..length];
        }

        if (characters is not null && (length = characters.LongestMatch(text, out var replacement)) > 0)
        {
            return replacement;
        }

        if ((length = Utf8Prefix.Measure(text)) <= 0)
        {
            length = 1;
            return Replacement;
        }

        return text[..length];
    }
}
