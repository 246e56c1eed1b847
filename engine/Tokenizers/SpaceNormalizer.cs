namespace Distributed.Engine.Tokenizers;

/// <summary>
/// SentencePiece's normalizer for models without a character map (google/sentencepiece, src/normalizer.cc): spaces become U+2581, a byte
/// that is no UTF-8 becomes U+FFFD, and extra spaces go where the model says so.
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
    /// <param name="userDefined">Pieces within which spaces stay as they are; <see langword="null"/> for none.</param>
    public static ReadOnlySpan<byte> Normalize(
        ReadOnlySpan<byte> text, bool addDummyPrefix, bool removeExtraWhitespaces, PieceTrie? userDefined)
    {
        text = removeExtraWhitespaces ? text.TrimStart((byte)' ') : text;
        if (text.IsEmpty)
        {
            return [];
        }

        var normalized = new byte[checked((text.Length + 1) * Space.Length)];    // a space or bad byte becomes three
        var count = 0;
        if (addDummyPrefix)
        {
            Append(Space, normalized, ref count);
        }

        var afterSpace = removeExtraWhitespaces;
        while (!text.IsEmpty)
        {
            var unit = NextUnit(text, userDefined, out var length);
            text = text[length..];
            unit = afterSpace ? unit.TrimStart((byte)' ') : unit;
            foreach (var value in unit)
            {
                Append(value == (byte)' ' ? Space : [value], normalized, ref count);
            }

            afterSpace = removeExtraWhitespaces && (unit.IsEmpty ? afterSpace : unit[^1] == (byte)' ');
        }

        // The reference trims what looks like a space by now, so a literal U+2581 at the end goes too.
        var result = normalized.AsSpan(0, count);
        while (removeExtraWhitespaces && result.EndsWith(Space))
        {
            result = result[..^Space.Length];
        }

        return result;
    }

    /// <summary>What the text begins with: a user-defined piece, a character, or a byte that is none.</summary>
    private static ReadOnlySpan<byte> NextUnit(ReadOnlySpan<byte> text, PieceTrie? userDefined, out int length)
    {
        length = userDefined?.LongestMatch(text) ?? 0;
        if (length == 0 && (length = Utf8Prefix.Measure(text)) <= 0)
        {
            length = 1;
            return Replacement;
        }

        return text[..length];
    }

    private static void Append(ReadOnlySpan<byte> bytes, byte[] destination, ref int count)
    {
        bytes.CopyTo(destination.AsSpan(count));
        count += bytes.Length;
    }
}
