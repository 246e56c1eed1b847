using System.Buffers;
using System.Text;
using System.Text.Json;

namespace Distributed.Engine.Tokenizers;

/// <summary>
/// Reads a tokenizer.json of huggingface/tokenizers that holds byte-pair encoding (<see cref="BytePairJson"/>), or a <see cref="UnigramJson"/>. Parts are recognised by
/// what they are and refused by name where they are not known.
/// </summary>
/// <remarks>
/// The vocabulary, the merges and the added tokens, which may be a million, are read one by one from the file's bytes. The small rest is a document:
/// <see cref="Root"/>.
/// </remarks>
internal sealed class TokenizerJson
{
    private const int MaxByteCount = 64 << 20;
    private const int MaxRestByteCount = 1 << 20; // the largest public ones have a character map of 0.4 MB
    private const int MaxTokenCount = 1 << 21; // the largest public vocabularies have 262,144
    private const int MaxMergeCount = 1 << 22;
    private const int MaxMessageLength = 400;

    private static readonly string[] RestOfRoot = ["normalizer", "pre_tokenizer", "post_processor"];
    private static readonly string[] RestOfModel = ["type", "unk_id", "byte_fallback", "ignore_merges", "continuing_subword_prefix", "end_of_word_suffix"];
    private static readonly string[] Wanted
        = [.. RestOfRoot, .. RestOfModel.Select(name => $"model.{name}"), "added_tokens", "model.vocab", "model.merges"];

    private TokenizerJson(string path, JsonParts parts, JsonElement root)
    {
        (Path, Parts, Root) = (path, parts, root);
        Added = ReadAdded();
    }

    /// <summary>Names the file in errors.</summary>
    public string Path { get; }

    /// <summary>Where the long parts lie.</summary>
    public JsonParts Parts { get; }

    /// <summary>The file without its long parts.</summary>
    public JsonElement Root { get; }

    /// <summary>The model without its long parts.</summary>
    public JsonElement Model => Root.GetProperty("model");

    /// <summary>In the file's order.</summary>
    public AddedToken[] Added { get; }

    /// <exception cref="TokenizerFormatException">
    /// The file is missing, damaged, or of a kind that is not read; the message is one sentence for the user.
    /// </exception>
    public static Tokenizer Load(string path)
    {
        byte[] json;
        try
        {
            if (new FileInfo(path) is { Exists: true, Length: > MaxByteCount and var length })
            {
                throw new TokenizerFormatException($"{path} has {length} bytes; a tokenizer.json has at most {MaxByteCount}.");
            }

            json = File.ReadAllBytes(path);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new TokenizerFormatException($"{path} cannot be read: {error.Message}", error);
        }

        return Parse(json, path);
    }

    /// <summary>Reads the bytes of a tokenizer.json; <paramref name="path"/> names it in errors, and tokenizer_config.json lies beside it.</summary>
    /// <inheritdoc cref="Load"/>
    public static Tokenizer Parse(byte[] json, string path)
    {
        try
        {
            var parts = JsonParts.Find(json, Wanted);
            using var rest = Rest(parts, path);
            return new TokenizerJson(path, parts, rest.RootElement).Read();
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new TokenizerFormatException($"{path} cannot be read: {error.Message}", error);
        }
        catch (Exception error) when (error is JsonException or InvalidOperationException or KeyNotFoundException or FormatException)
        {
            throw new TokenizerFormatException($"{path} is no tokenizer.json: {Printable(error.Message)}", error);
        }
    }

    /// <summary>The vocabulary.</summary>
    public JsonPart Vocabulary() => Long("model.vocab", MaxTokenCount) ?? throw new KeyNotFoundException("the model has no vocab.");

    /// <summary>The merges.</summary>
    public JsonPart Merges() => Long("model.merges", MaxMergeCount) ?? throw new KeyNotFoundException("the model has no merges.");

    /// <summary>What ends a text by tokenizer_config.json; nothing where it says that there is none, null where it does not say.</summary>
    public string? EosToken() => TokenizerConfig.Beside(Path)?.EosToken();

    /// <summary>Whether the model has a setting.</summary>
    public bool IsSet(string key) => TokenizerParts.Flag(Model, key, absent: false);

    public void Require(bool condition, string problem)
    {
        if (!condition)
        {
            throw Error(problem);
        }
    }

    /// <summary>An error whose sentence begins with the file's path.</summary>
    public TokenizerFormatException Error(string problem) => new($"{Path} {Printable(problem)}.");

    private Tokenizer Read() => TokenizerParts.Text(Model, "type") switch
    {
        "BPE" => new BytePairTokenizer(new BytePairJson(this).Read()),
        "Unigram" => new UnigramJson(this).Read(),
        var type => throw Error($"has a model of the type {type}; BPE and Unigram can be read"),
    };

    // A document of the short parts, as they are written.
    private static JsonDocument Rest(JsonParts parts, string path)
    {
        var text = new ArrayBufferWriter<byte>();
        Write("{"u8);
        WriteMembers(RestOfRoot, "");
        if (parts["model"] is not null)
        {
            Write("\"model\":{"u8);
            WriteMembers(RestOfModel, "model.");
            Write("\"\":0},"u8);
        }

        Write("\"\":0}"u8);
        return JsonDocument.Parse(text.WrittenMemory, new JsonDocumentOptions { MaxDepth = 32, AllowDuplicateProperties = false });

        void WriteMembers(string[] names, string prefix)
        {
            foreach (var name in names)
            {
                if (parts[prefix + name] is { } part)
                {
                    if (text.WrittenCount + part.Length > MaxRestByteCount)
                    {
                        throw new TokenizerFormatException($"{path} has a {name} of {part.Length} bytes; beside vocabulary and merges it may have {MaxRestByteCount}.");
                    }

                    Write(Encoding.UTF8.GetBytes($"\"{name}\":"));
                    Write(parts.Text(part).Span);
                    Write(","u8);
                }
            }
        }

        void Write(ReadOnlySpan<byte> bytes) => text.Write(bytes);
    }

    private AddedToken[] ReadAdded()
    {
        if (Long("added_tokens", MaxTokenCount) is not { } part)
        {
            return [];
        }

        var added = new AddedToken[part.Count];
        var buffer = Array.Empty<byte>();
        var reader = Parts.Reader(part);
        reader.Read();
        if (reader.TokenType != JsonTokenType.StartArray)
        {
            return [];
        }

        for (var index = 0; reader.Read() && reader.TokenType != JsonTokenType.EndArray; index++)
        {
            added[index] = AddedToken.Read(ref reader, ref buffer);
        }

        return added;
    }

    // Of so many entries, for which there is room made before they are read.
    private JsonPart? Long(string name, int most)
        => Parts[name] is { } part && part.Count > most ? throw Error($"has {part.Count} entries in {name}; at most {most} are read") : Parts[name];

    // What a file says may be long, and steer a terminal.
    private static string Printable(string text)
    {
        var shown = text.Length <= MaxMessageLength ? text : text[..MaxMessageLength] + "...";
        return string.Concat(shown.Select(character => char.IsControl(character) ? '?' : character));
    }
}
