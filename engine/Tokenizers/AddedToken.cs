using System.Text.Json;

namespace Distributed.Engine.Tokenizers;

/// <summary>An entry of the list <c>added_tokens</c> of a tokenizer.json.</summary>
/// <param name="Id">At least 0.</param>
/// <param name="Content">In UTF-8; empty where it is absent.</param>
/// <param name="IsSpecial">Whether it is a mark, and no text.</param>
/// <param name="IsPlain">Whether it is found wherever it stands, and takes nothing from around it.</param>
internal readonly record struct AddedToken(int Id, byte[] Content, bool IsSpecial, bool IsPlain)
{
    /// <summary>Reads the object at which a reader is, up to its end.</summary>
    /// <param name="reader">Of the list.</param>
    /// <param name="buffer">For strings with escapes; grows.</param>
    /// <exception cref="JsonException">It is no such object.</exception>
    public static AddedToken Read(ref Utf8JsonReader reader, ref byte[] buffer)
    {
        if (reader.TokenType != JsonTokenType.StartObject)
        {
            throw new JsonException("an added token is no object.");
        }

        int? id = null;
        byte[]? content = null;
        var (isSpecial, isPlain) = (false, true);
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            var (isId, isContent, marks) = (reader.ValueTextEquals("id"u8), reader.ValueTextEquals("content"u8), reader.ValueTextEquals("special"u8));
            var strips = reader.ValueTextEquals("lstrip"u8) || reader.ValueTextEquals("rstrip"u8) || reader.ValueTextEquals("single_word"u8);
            reader.Read();
            if ((isId && id is not null) || (isContent && content is not null))
            {
                throw new JsonException("an added token has its id or content twice.");
            }

            id = isId ? reader.GetInt32() : id;
            content = isContent ? JsonParts.String(ref reader, ref buffer).ToArray() : content;
            isSpecial |= marks && reader.TokenType == JsonTokenType.True;
            isPlain &= !strips || reader.TokenType != JsonTokenType.True;
            reader.Skip();
        }

        return id >= 0 ? new AddedToken(id.Value, content ?? [], isSpecial, isPlain) : throw new JsonException("an added token has no id of at least 0.");
    }
}
