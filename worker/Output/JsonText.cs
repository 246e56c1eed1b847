using System.Globalization;
using System.Text;
using System.Text.Json;

namespace Distributed.Worker.Output;

/// <summary>
/// Writes JSON strings as plain UTF-8: only what RFC 8259 demands is escaped. The framework's least escaping encoder still turns
/// characters beyond U+FFFF, every emoji, into pairs of \u escapes.
/// </summary>
internal static class JsonText
{
    /// <summary>Writes a property.</summary>
    public static void WritePlain(this Utf8JsonWriter json, string name, string text)
    {
        json.WritePropertyName(name);
        json.WritePlainValue(text);
    }

    /// <summary>Writes a value.</summary>
    public static void WritePlainValue(this Utf8JsonWriter json, string text) => json.WriteRawValue(Quote(text), skipInputValidation: true);

    private static string Quote(string text)
    {
        var quoted = new StringBuilder(text.Length + 2).Append('"');
        foreach (var rune in text.EnumerateRunes()) // half a surrogate pair becomes U+FFFD
        {
            _ = rune.Value switch
            {
                '"' => quoted.Append("\\\""),
                '\\' => quoted.Append("\\\\"),
                '\n' => quoted.Append("\\n"),
                '\r' => quoted.Append("\\r"),
                '\t' => quoted.Append("\\t"),
                < ' ' => quoted.Append(CultureInfo.InvariantCulture, $"\\u{rune.Value:x4}"),
                _ => quoted.Append(rune.ToString()),
            };
        }

        return quoted.Append('"').ToString();
    }
}
