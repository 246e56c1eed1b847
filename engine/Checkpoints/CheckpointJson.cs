using System.Text.Json;

namespace Distributed.Engine.Checkpoints;

/// <summary>The small JSON files of a checkpoint folder, bounded before they are read.</summary>
internal static class CheckpointJson
{
    private const int MaxDepth = 32;

    /// <summary>Reads and parses a file; duplicate keys are an error, a byte order mark is none.</summary>
    /// <exception cref="CheckpointException">The file is missing, too long, cannot be read, or is no JSON.</exception>
    /// <param name="path">The file.</param>
    /// <param name="maxByteCount">A longer one is refused.</param>
    /// <param name="neighbour">What a folder has beside it.</param>
    public static JsonDocument Parse(string path, int maxByteCount, string neighbour)
    {
        byte[] json;
        try
        {
            var file = new FileInfo(path);
            if (!file.Exists)
            {
                throw new CheckpointException($"{path} does not exist; a checkpoint folder has it beside {neighbour}.");
            }

            if (file.Length > maxByteCount)
            {
                throw new CheckpointException($"{path} has {file.Length} bytes; at most {maxByteCount} are expected.");
            }

            json = File.ReadAllBytes(path);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new CheckpointException($"{path} cannot be read: {error.Message}", error);
        }

        try
        {
            return Parse(json);
        }
        catch (JsonException error)
        {
            throw new CheckpointException($"{path} is no valid JSON: {Printable.Of(error.Message, 200)}", error);
        }
    }

    /// <inheritdoc cref="Parse(string, int, string)"/>
    /// <exception cref="JsonException">It is no JSON.</exception>
    public static JsonDocument Parse(ReadOnlySpan<byte> json)
    {
        json = json.StartsWith("\uFEFF"u8) ? json[3..] : json;
        RequireTexts(json);
        return JsonDocument.Parse(json.ToArray(), new JsonDocumentOptions { MaxDepth = MaxDepth, AllowDuplicateProperties = false });
    }

    // A document takes bytes that are no UTF-8, and halves of surrogate pairs, until somebody asks for the string.
    private static void RequireTexts(ReadOnlySpan<byte> json)
    {
        var buffer = Array.Empty<char>();
        var reader = new Utf8JsonReader(json, new JsonReaderOptions { MaxDepth = MaxDepth });
        try
        {
            while (reader.Read())
            {
                if (reader.TokenType is JsonTokenType.String or JsonTokenType.PropertyName)
                {
                    buffer = buffer.Length < reader.ValueSpan.Length ? new char[reader.ValueSpan.Length * 2] : buffer;
                    reader.CopyString(buffer);
                }
            }
        }
        catch (InvalidOperationException error)
        {
            throw new JsonException("a string in it is no Unicode text.", error);
        }
    }
}
