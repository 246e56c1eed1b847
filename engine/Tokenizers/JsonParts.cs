using System.Text;
using System.Text.Json;
using System.Text.Unicode;

namespace Distributed.Engine.Tokenizers;

/// <summary>Where a value lies in a JSON text.</summary>
/// <param name="Start">Of its first byte.</param>
/// <param name="Length">In bytes.</param>
/// <param name="Count">Of an object its members, of a list its items, else 0.</param>
/// <param name="TextByteCount">Of all names and strings in it, as they are written.</param>
internal readonly record struct JsonPart(int Start, int Length, int Count, int TextByteCount);

/// <summary>
/// Finds the wanted values of an object's members in one walk over its text, which need be no document in memory: each token of that would take
/// more bytes than the text does.
/// </summary>
internal sealed class JsonParts
{
    private const int MaxDepth = 32;
    private static readonly JsonReaderOptions Syntax = new() { MaxDepth = MaxDepth };

    private readonly byte[] _json;
    private readonly Dictionary<string, JsonPart> _parts = new(StringComparer.Ordinal);

    private JsonParts(byte[] json) => _json = json;

    /// <summary>The value of a member; <see langword="null"/> where it is absent.</summary>
    public JsonPart? this[string name] => _parts.TryGetValue(name, out var part) ? part : null;

    /// <summary>Reads the whole text.</summary>
    /// <param name="json">An object, of at most 32 levels.</param>
    /// <param name="wanted">Names of members; <c>model.vocab</c> is one of the object that is the member <c>model</c>.</param>
    /// <exception cref="JsonException">It is no JSON, no object, or has a wanted name twice.</exception>
    public static JsonParts Find(byte[] json, params string[] wanted)
    {
        var parts = new JsonParts(json);
        var names = Array.ConvertAll(wanted, Encoding.UTF8.GetBytes);
        var reader = new Utf8JsonReader(json, Syntax);
        reader.Read();
        parts.ReadMembers(ref reader, names, wanted, "");
        while (reader.Read())
        {
            // White space alone may follow: the reader itself throws where something else does.
        }

        return parts;
    }

    /// <summary>The text of a part.</summary>
    public ReadOnlyMemory<byte> Text(JsonPart part) => _json.AsMemory(part.Start, part.Length);

    /// <summary>Reads a part again.</summary>
    public Utf8JsonReader Reader(JsonPart part) => new(_json.AsSpan(part.Start, part.Length), Syntax);

    /// <summary>The string at which a reader is, in UTF-8, without its escapes.</summary>
    /// <param name="reader">At a string or a name.</param>
    /// <param name="buffer">Holds the result where the text itself does not; grows.</param>
    /// <exception cref="InvalidOperationException">It is no string, or no Unicode text.</exception>
    public static ReadOnlySpan<byte> String(ref Utf8JsonReader reader, ref byte[] buffer)
    {
        if (!reader.ValueIsEscaped && reader.TokenType is JsonTokenType.String or JsonTokenType.PropertyName && Utf8.IsValid(reader.ValueSpan))
        {
            return reader.ValueSpan;
        }

        buffer = buffer.Length >= reader.ValueSpan.Length ? buffer : new byte[reader.ValueSpan.Length];
        return buffer.AsSpan(0, reader.CopyString(buffer));
    }

    private void ReadMembers(ref Utf8JsonReader reader, byte[][] names, string[] wanted, string prefix)
    {
        if (reader.TokenType != JsonTokenType.StartObject)
        {
            throw new JsonException($"{(prefix.Length == 0 ? "it" : prefix.TrimEnd('.'))} is no object.");
        }

        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            string? found = null;
            var isParent = false;
            for (var i = 0; i < names.Length; i++)
            {
                var name = names[i].AsSpan();
                if (name.Length > prefix.Length && wanted[i].StartsWith(prefix, StringComparison.Ordinal))
                {
                    name = name[prefix.Length..];
                    var dot = name.IndexOf((byte)'.');
                    if (reader.ValueTextEquals(dot < 0 ? name : name[..dot]))
                    {
                        (found, isParent) = (dot < 0 ? wanted[i] : wanted[i][..(prefix.Length + dot)], dot >= 0);
                        break;
                    }
                }
            }

            reader.Read();
            var start = (int)reader.TokenStartIndex;
            var part = default(JsonPart);
            if (found is null)
            {
                reader.Skip();
                continue;
            }

            if (isParent)
            {
                ReadMembers(ref reader, names, wanted, found + ".");
            }
            else
            {
                part = Measure(ref reader);
            }

            if (!_parts.TryAdd(found, part with { Start = start, Length = (int)reader.BytesConsumed - start }))
            {
                throw new JsonException($"{found} is there twice.");
            }
        }
    }

    private static JsonPart Measure(ref Utf8JsonReader reader)
    {
        if (reader.TokenType is not (JsonTokenType.StartObject or JsonTokenType.StartArray))
        {
            return default;
        }

        var isObject = reader.TokenType == JsonTokenType.StartObject;
        var depth = reader.CurrentDepth;
        var (count, textByteCount) = (0, 0);
        while (reader.Read() && reader.CurrentDepth > depth)
        {
            textByteCount += reader.TokenType is JsonTokenType.PropertyName or JsonTokenType.String ? reader.ValueSpan.Length : 0;
            var begins = isObject ? reader.TokenType == JsonTokenType.PropertyName : reader.TokenType is not (JsonTokenType.EndObject or JsonTokenType.EndArray);
            count += begins && reader.CurrentDepth == depth + 1 ? 1 : 0;
        }

        return new JsonPart(0, 0, count, textByteCount);
    }
}
