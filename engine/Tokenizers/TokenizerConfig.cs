using System.Text.Json;

namespace Distributed.Engine.Tokenizers;

/// <summary>What tokenizer_config.json, which transformers writes beside a tokenizer, says that is of use here.</summary>
internal sealed class TokenizerConfig
{
    /// <summary>The file's name.</summary>
    public const string Name = "tokenizer_config.json";

    private const int MaxByteCount = 16 << 20; // it may list all added tokens
    private const int MaxPartByteCount = 1 << 20;

    private readonly JsonParts _parts;

    private TokenizerConfig(JsonParts parts) => _parts = parts;

    /// <summary>That beside a tokenizer; <see langword="null"/> where there is none, or one so large that it is something else.</summary>
    /// <exception cref="IOException">It cannot be read.</exception>
    /// <exception cref="JsonException">It is no JSON object.</exception>
    public static TokenizerConfig? Beside(string tokenizerPath)
    {
        var path = Path.Combine(Path.GetDirectoryName(Path.GetFullPath(tokenizerPath))!, Name); // a file is in a folder
        return new FileInfo(path) is { Exists: true, Length: <= MaxByteCount }
            ? Parse(File.ReadAllBytes(path))
            : null;
    }

    /// <summary>Reads the bytes of the file.</summary>
    /// <exception cref="JsonException">It is no JSON object.</exception>
    internal static TokenizerConfig Parse(byte[] json) => new(JsonParts.Find(json, "eos_token", "chat_template"));

    /// <summary>What ends a text: nothing where it says that there is none, null where it does not say.</summary>
    /// <exception cref="InvalidOperationException">It is no text.</exception>
    public string? EosToken()
    {
        using var value = Document("eos_token");
        return value is null ? null
            : (value.RootElement.ValueKind == JsonValueKind.Object ? TokenizerParts.Text(value.RootElement, "content") : value.RootElement.GetString()) ?? "";
    }

    /// <summary>The chat template, of several that for dialogs; <see langword="null"/> for none.</summary>
    /// <exception cref="InvalidOperationException">It is no Unicode text.</exception>
    public string? ChatTemplate()
    {
        using var value = Document("chat_template");
        return value is null ? null : TemplateOf(value.RootElement);
    }

    private JsonDocument? Document(string name) => _parts[name] is { Length: <= MaxPartByteCount } part ? JsonDocument.Parse(_parts.Text(part)) : null;

    // A text, or several by name of which "default" is for dialogs.
    private static string? TemplateOf(JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.String => value.GetString(),
        JsonValueKind.Array => value.EnumerateArray()
            .Where(item => item.ValueKind == JsonValueKind.Object
                && item.TryGetProperty("name", out var name) && name.ValueKind == JsonValueKind.String && name.GetString() == "default"
                && item.TryGetProperty("template", out var template) && template.ValueKind == JsonValueKind.String)
            .Select(item => item.GetProperty("template").GetString())
            .FirstOrDefault(),
        _ => null,
    };
}
