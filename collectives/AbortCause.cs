using System.Globalization;
using System.Text;

namespace Distributed.Collectives;

/// <summary>Makes the text of an abort fit to travel and to print: it may come from another process.</summary>
internal static class AbortCause
{
    /// <summary>The most UTF-8 bytes that a cause has, after escaping.</summary>
    public const int MaxByteCount = 1024;

    /// <summary>Escapes control characters as \uXXXX, so that a cause cannot forge log lines, and cuts it to <see cref="MaxByteCount"/>.</summary>
    public static string Bound(string cause)
    {
        ArgumentNullException.ThrowIfNull(cause);
        var text = new StringBuilder();
        var byteCount = 0;
        foreach (var rune in cause.EnumerateRunes())
        {
            var printed = IsControl(rune) ? $"\\u{rune.Value:X4}" : rune.ToString();
            byteCount += Encoding.UTF8.GetByteCount(printed);
            if (byteCount > MaxByteCount)
            {
                break;
            }

            text.Append(printed);
        }

        return text.ToString();
    }

    // Line and paragraph separators and bidirectional formatting reorder a terminal's line as control characters do.
    private static bool IsControl(Rune rune)
        => Rune.GetUnicodeCategory(rune) is UnicodeCategory.Control or UnicodeCategory.Format
            or UnicodeCategory.LineSeparator or UnicodeCategory.ParagraphSeparator;
}
