using System.Text;

namespace Distributed.Engine.Tokenizers;

/// <summary>
/// SentencePiece's normalizer for models without a character map (google/sentencepiece, src/normalizer.cc): spaces become U+2581, a byte that is no
/// UTF-8 becomes U+FFFD, and extra spaces go where the model says so.
/// </summary>
internal static class SpaceNormalizer
{
    /// <summary>U+2581, LOWER ONE EIGHTH BLOCK, in the place of a space.</summary>
    private static ReadOnlySpan<byte> Space => "\u2581"u8;

    private static ReadOnlySpan<byte> Replacement => "\uFFFD"u8;

    /// <summary>The normalized text, valid UTF-8; empty for a text of nothing (but removable spaces).</summary>
    public static ReadOnlySpan<byte> Normalize(ReadOnlySpan<byte> text, bool addDummyPrefix, bool removeExtraWhitespaces)
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
            if (text[0] == (byte)' ')
            {
                if (!afterSpace)
                {
                    Append(Space, normalized, ref count);
                }

                afterSpace = removeExtraWhitespaces;
                text = text[1..];
                continue;
            }

            afterSpace = false;
            var length = Utf8Prefix.Measure(text);
            Append(length > 0 ? text[..length] : Replacement, normalized, ref count);
            text = text[Math.Max(length, 1)..];
        }

        // The reference trims what looks like a space by now, so a literal U+2581 at the end goes too.
        var result = normalized.AsSpan(0, count);
        while (removeExtraWhitespaces && result.EndsWith(Space))
        {
            result = result[..^Space.Length];
        }

        return result;
    }

    private static void Append(ReadOnlySpan<byte> bytes, byte[] destination, ref int count)
    {
        bytes.CopyTo(destination.AsSpan(count));
        count += bytes.Length;
    }
}

/// <summary>The first character of some bytes.</summary>
internal static class Utf8Prefix
{
    /// <summary>Not UTF-8: the first byte stands alone.</summary>
    public const int Invalid = 0;

    /// <summary>The beginning of a character; more bytes may complete it.</summary>
    public const int Incomplete = -1;

    /// <summary>The length of the character that <paramref name="bytes"/> begin with, or one of the constants.</summary>
    public static int Measure(ReadOnlySpan<byte> bytes) => Rune.DecodeFromUtf8(bytes, out _, out var length) switch
    {
        System.Buffers.OperationStatus.Done => length,
        System.Buffers.OperationStatus.NeedMoreData => Incomplete,
        _ => Invalid,
    };
}
