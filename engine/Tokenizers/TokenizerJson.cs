using System.Collections.Immutable;
using System.Globalization;
using System.Text;
using System.Text.Json;

namespace Distributed.Engine.Tokenizers;

/// <summary>
/// Reads a tokenizer.json of huggingface/tokenizers that holds byte-pair encoding, or a <see cref="UnigramJson"/>. Parts are recognised by what they are and refused by name
/// where they are not known.
/// </summary>
internal sealed class TokenizerJson
{
    private const int MaxByteCount = 64 << 20;
    private const int MaxMessageLength = 400;

    // What tokenizers of the model families call the end of a text, where no tokenizer_config.json says it.
    private static readonly string[] EosNames = ["</s>", "<|end_of_text|>", "<|endoftext|>"];

    private readonly string _path;
    private readonly JsonElement _root;
    private readonly Dictionary<string, int> _ids = new(StringComparer.Ordinal); // the model's own spelling

    private TokenizerJson(string path, JsonElement root) => (_path, _root) = (path, root);

    /// <exception cref="TokenizerFormatException">
    /// The file is missing, damaged, or of a kind that is not read; the message is one sentence for the user.
    /// </exception>
    public static Tokenizer Load(string path)
    {
        try
        {
            if (new FileInfo(path) is { Exists: true, Length: > MaxByteCount and var length })
            {
                throw new TokenizerFormatException($"{path} has {length} bytes; a tokenizer.json has at most {MaxByteCount}.");
            }

            using var document = JsonDocument.Parse(
                File.ReadAllBytes(path), new JsonDocumentOptions { MaxDepth = 32, AllowDuplicateProperties = false });
            return new TokenizerJson(path, document.RootElement).Read();
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

    private Tokenizer Read()
    {
        var model = _root.GetProperty("model");
        switch (Text(model, "type"))
        {
            case "BPE": return new BytePairTokenizer(ReadBytePairs(model));
            case "Unigram": return new UnigramJson(_root, _path, Error).Read(model, EosToken());
            case var type: throw Error($"has a model of the type {type}; BPE and Unigram can be read");
        }
    }

    private BytePairModel ReadBytePairs(JsonElement model)
    {
        foreach (var key in new[] { "continuing_subword_prefix", "end_of_word_suffix" })
        {
            Require(string.IsNullOrEmpty(Text(model, key)), $"has {key}, which cannot be read");
        }

        var parts = TokenizerParts.Read(_root, problem => Error(problem));
        var tokens = ReadTokens(model, parts.IsByteLevel);
        var merges = ReadMerges(model);
        return new BytePairModel
        {
            Path = _path,
            Tokens = tokens,
            Merges = merges,
            ByteIds = ReadByteIds(model, parts.IsByteLevel),
            IsByteLevel = parts.IsByteLevel,
            Split = parts.Split,
            TakesWholeWords = Flag(model, "ignore_merges"),
            NormalizesToFormC = parts.NormalizesToFormC,
            AddsDummyPrefix = parts.AddsDummyPrefix,
            BosId = parts.BosToken is { } bos ? IdOf(bos) : -1,
            EosId = ReadEosId(),
        };
    }

    private ImmutableArray<BytePairToken> ReadTokens(JsonElement model, bool isByteLevel)
    {
        foreach (var entry in model.GetProperty("vocab").EnumerateObject())
        {
            _ids.Add(entry.Name, entry.Value.GetInt32());
        }

        var added = _root.TryGetProperty("added_tokens", out var list) && list.ValueKind == JsonValueKind.Array
            ? list.EnumerateArray().ToArray()
            : [];
        var highest = added.Select(token => token.GetProperty("id").GetInt32()).Concat(_ids.Values).DefaultIfEmpty(-1).Max();
        var count = _ids.Count + added.Length;
        Require(_ids.Values.All(id => id >= 0) && highest < (2 * count) + 1024, $"has ids up to {highest} for {count} tokens");

        // Ids between that no token has are marks without a name.
        var tokens = Enumerable.Repeat(new BytePairToken(TokenKind.Special, []), highest + 1).ToArray();
        foreach (var (text, id) in _ids)
        {
            Require(tokens[id].Bytes.Length == 0, $"gives the id {id} to two tokens");
            var bytes = isByteLevel ? ByteAlphabet.TryRead(text) : Encoding.UTF8.GetBytes(text);

            // A vocabulary may list special tokens too, which are not in the byte alphabet; the list of added tokens then has them.
            tokens[id] = new BytePairToken(bytes is null ? TokenKind.Special : TokenKind.Normal, bytes ?? Encoding.UTF8.GetBytes(text));
        }

        foreach (var token in added)
        {
            var content = token.GetProperty("content").GetString() ?? "";
            var isSpecial = Flag(token, "special");
            Require(
                isSpecial || !(Flag(token, "lstrip") || Flag(token, "rstrip") || Flag(token, "single_word")),
                $"has the added token '{content}' that strips spaces or stands alone, which cannot be read");
            var id = token.GetProperty("id").GetInt32();
            Require(id >= 0 && content.Length > 0, "has an added token without a text or with a negative id");
            tokens[id] = new BytePairToken(isSpecial ? TokenKind.Special : TokenKind.Added, Encoding.UTF8.GetBytes(content));
            _ids[content] = id;
        }

        return [.. tokens];
    }

    private ListedMerges ReadMerges(JsonElement model)
    {
        var merges = new ListedMerges();
        foreach (var merge in model.GetProperty("merges").EnumerateArray())
        {
            var pair = merge.ValueKind == JsonValueKind.Array
                ? merge.EnumerateArray().Select(part => part.GetString() ?? "").ToArray()
                : (merge.GetString() ?? "").Split(' ');
            Require(
                pair.Length == 2
                    && _ids.TryGetValue(pair[0], out var left)
                    && _ids.TryGetValue(pair[1], out var right)
                    && _ids.TryGetValue(pair[0] + pair[1], out var merged)
                    && merges.TryAdd(left, right, merged),
                $"has the merge '{string.Join(' ', pair)}', whose tokens are not in the vocabulary or which is there twice");
        }

        return merges;
    }

    private ImmutableArray<int> ReadByteIds(JsonElement model, bool isByteLevel)
    {
        Require(isByteLevel || Flag(model, "byte_fallback"), "has characters without byte_fallback, which cannot be read");
        return
        [
            .. Enumerable.Range(0, 256).Select(value => IdOf(
                isByteLevel ? ByteAlphabet.Of((byte)value).ToString() : string.Create(CultureInfo.InvariantCulture, $"<0x{value:X2}>"))),
        ];
    }

    private int ReadEosId() => EosToken() is { } name
        ? name.Length == 0 ? -1 : IdOf(name)
        : EosNames.Select(name => _ids.GetValueOrDefault(name, -1)).FirstOrDefault(id => id >= 0, -1);

    // By tokenizer_config.json; nothing where it says that there is none, null where it does not say.
    private string? EosToken()
    {
        var config = Path.Combine(Path.GetDirectoryName(Path.GetFullPath(_path))!, "tokenizer_config.json");
        if (new FileInfo(config) is { Exists: true, Length: <= MaxByteCount })
        {
            using var document = JsonDocument.Parse(File.ReadAllBytes(config));
            if (document.RootElement.TryGetProperty("eos_token", out var eos))
            {
                return (eos.ValueKind == JsonValueKind.Object ? Text(eos, "content") : eos.GetString()) ?? "";
            }
        }

        return null;
    }

    private int IdOf(string token) => _ids.TryGetValue(token, out var id) ? id : throw Error($"lacks the token '{token}', which it needs");

    private static string? Text(JsonElement element, string key)
        => element.TryGetProperty(key, out var value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null;

    private static bool Flag(JsonElement element, string key)
        => element.TryGetProperty(key, out var value) && value.ValueKind == JsonValueKind.True;

    private void Require(bool condition, string problem)
    {
        if (!condition)
        {
            throw Error(problem);
        }
    }

    private TokenizerFormatException Error(string problem) => new($"{_path} {Printable(problem)}.");

    // What a file says may be long, and steer a terminal.
    private static string Printable(string text)
    {
        var shown = text.Length <= MaxMessageLength ? text : text[..MaxMessageLength] + "...";
        return string.Concat(shown.Select(character => char.IsControl(character) ? '?' : character));
    }
}
