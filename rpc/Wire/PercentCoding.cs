using System.Globalization;
using System.Text;

namespace Grpc.Wire;

/// <summary><c>grpc-message</c>: UTF-8 of which everything but printable ASCII, and '%', is written as %XX.</summary>
internal static class PercentCoding
{
    /// <summary>
    /// The most characters that are sent. Peers bound the size of all trailers together (many at 8 KiB) and would replace a status with a
    /// longer message by an error of their own, so a shortened message says more than a whole one.
    /// </summary>
    public const int MaxEncodedLength = 4096;

    public static string Encode(string message)
    {
        if (message.Length <= MaxEncodedLength && message.All(IsPlain))
        {
            return message;
        }

        var encoded = new StringBuilder();
        Span<byte> utf8 = stackalloc byte[4];
        foreach (var rune in message.EnumerateRunes())
        {
            var length = rune.EncodeToUtf8(utf8);
            if (encoded.Length + 3 * length > MaxEncodedLength)
            {
                break;
            }

            foreach (var octet in utf8[..length])
            {
                _ = IsPlain((char)octet)
                    ? encoded.Append((char)octet)
                    : encoded.Append('%').Append(octet.ToString("X2", CultureInfo.InvariantCulture));
            }
        }

        return encoded.ToString();
    }

    /// <summary>Undoes <see cref="Encode"/>. What is not a valid escape stays as it is, as the specification asks.</summary>
    public static string Decode(string text)
    {
        if (!text.Contains('%', StringComparison.Ordinal))
        {
            return text;
        }

        var bytes = new List<byte>(text.Length);
        for (var i = 0; i < text.Length; i++)
        {
            if (text[i] == '%'
                && i + 2 < text.Length
                && byte.TryParse(text.AsSpan(i + 1, 2), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out var octet))
            {
                bytes.Add(octet);
                i += 2;
            }
            else
            {
                bytes.AddRange(Encoding.UTF8.GetBytes(text, i, 1));
            }
        }

        return Encoding.UTF8.GetString([.. bytes]);
    }

    private static bool IsPlain(char character) => character is >= ' ' and <= '~' and not '%';
}
