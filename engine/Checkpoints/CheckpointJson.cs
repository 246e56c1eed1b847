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

        return Parse(json, path);
    }

    /// <summary>Parses the bytes of a file, which are the document's from then on; <paramref name="path"/> names it in errors.</summary>
    /// <inheritdoc cref="Parse(string, int, string)"/>
    public static JsonDocument Parse(ReadOnlyMemory<byte> json, string path)
    {
        try
        {
            json = json.Span.StartsWith("\uFEFF"u8) ? json[3..] : json;
            RequireTexts(json.Span);
            return JsonDocument.Parse(json, new JsonDocumentOptions { MaxDepth = MaxDepth, AllowDuplicateProperties = false });
        }
        catch (JsonException error)
        {
            throw new CheckpointException($"{path} is no valid JSON: {Printable.Of(error.Message, 200)}", error);
        }
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
