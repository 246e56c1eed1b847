using System.Collections.Immutable;
using System.Globalization;
using System.Text;
using System.Text.Json;

namespace Distributed.Engine.Tokenizers;

/// <summary>Reads a byte-pair model from a tokenizer.json.</summary>
/// <param name="file">The file.</param>
internal sealed class BytePairJson(TokenizerJson file)
{
    // What tokenizers of the model families call the end of a text, where no tokenizer_config.json says it.
    private static readonly string[] EosNames = ["</s>", "<|end_of_text|>", "<|endoftext|>"];

    private byte[] _buffer = []; // for strings with escapes
    private byte[] _joined = []; // the two names of a merge, one behind the other

    /// <summary>Reads the model.</summary>
    /// <exception cref="TokenizerFormatException">A part is damaged or not known.</exception>
    public BytePairModel Read()
    {
        foreach (var key in new[] { "continuing_subword_prefix", "end_of_word_suffix" })
        {
            file.Require(string.IsNullOrEmpty(TokenizerParts.Text(file.Model, key)), $"has {key}, which cannot be read");
        }

        var parts = TokenizerParts.Read(file.Root, file.Error);
        var names = ReadNames();
        var tokens = MakeTokens(names, parts.IsByteLevel);
        var merges = ReadMerges(names);
        return new BytePairModel
        {
            Path = file.Path,
            Tokens = tokens,
            Merges = merges,
            ByteIds = ReadByteIds(names, parts.IsByteLevel),
            IsByteLevel = parts.IsByteLevel,
            Split = parts.Split,
            TakesWholeWords = file.IsSet("ignore_merges"),
            NormalizesToFormC = parts.NormalizesToFormC,
            AddsDummyPrefix = parts.AddsDummyPrefix,
            BosId = parts.BosToken is { } bos ? IdOf(names, bos) : -1,
            EosId = EosId(names),
        };
    }

    // The vocabulary alone; with room for the added tokens.
    private TokenNames ReadNames()
    {
        var part = file.Vocabulary();
        var names = new TokenNames(part.Count + file.Added.Length, part.TextByteCount + file.Added.Sum(token => token.Content.Length));
        var reader = file.Parts.Reader(part);
        reader.Read();
        file.Require(reader.TokenType == JsonTokenType.StartObject, "has a vocab that is no object");
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            var name = JsonParts.String(ref reader, ref _buffer);
            reader.Read();
            if (!reader.TryGetInt32(out var id) || id < 0 || !names.TryAdd(name, id))
            {
                throw file.Error($"has the token '{Encoding.UTF8.GetString(name)}' twice, or with an id that is none");
            }
        }

        return names;
    }

    // Takes the added tokens into the names, too.
    private TokenList MakeTokens(TokenNames names, bool isByteLevel)
    {
        var highest = file.Added.Aggregate(-1, (id, token) => Math.Max(id, token.Id));
        var byteCount = file.Added.Sum(token => token.Content.Length);
        for (var entry = 0; entry < names.Count; entry++)
        {
            highest = Math.Max(highest, names.Id(entry));
            byteCount += names.Name(entry).Length;
        }

        var count = names.Count + file.Added.Length;
        file.Require(highest < (2 * count) + 1024, $"has ids up to {highest} for {count} tokens");
        var tokens = new TokenList(highest + 1, byteCount);
        var bytes = Array.Empty<byte>();
        for (var entry = 0; entry < names.Count; entry++)
        {
            var name = names.Name(entry);
            var id = names.Id(entry);
            if (tokens.Has(id))
            {
                throw file.Error($"gives the id {id} to two tokens");
            }

            bytes = bytes.Length >= name.Length ? bytes : new byte[2 * name.Length];

            // A vocabulary may list special tokens too, which are not in the byte alphabet; the list of added tokens then has them.
            var length = isByteLevel ? ByteAlphabet.TryRead(name, bytes) : -1;
            tokens.Set(id, isByteLevel && length < 0 ? TokenKind.Special : TokenKind.Normal, length < 0 ? name : bytes.AsSpan(0, length));
        }

        foreach (var token in file.Added)
        {
            if (!token.IsSpecial && !token.IsPlain)
            {
                throw file.Error($"has the added token '{Encoding.UTF8.GetString(token.Content)}' that strips spaces or stands alone, which cannot be read");
            }

            file.Require(token.Content.Length > 0, "has an added token without a text");
            tokens.Set(token.Id, token.IsSpecial ? TokenKind.Special : TokenKind.Added, token.Content);
            names.Set(token.Content, token.Id);
        }

        return tokens;
    }

    private ListedMerges ReadMerges(TokenNames names)
    {
        var part = file.Merges();
        var merges = new ListedMerges(part.Count);
        var reader = file.Parts.Reader(part);
        reader.Read();
        file.Require(reader.TokenType == JsonTokenType.StartArray, "has merges that are no list");
        while (reader.Read() && reader.TokenType != JsonTokenType.EndArray)
        {
            var (cut, length) = ReadPair(ref reader);
            if (cut < 0
                || !names.TryFind(_joined.AsSpan(0, cut), out var left)
                || !names.TryFind(_joined.AsSpan(cut, length - cut), out var right)
                || !names.TryFind(_joined.AsSpan(0, length), out var merged)
                || !merges.TryAdd(left, right, merged))
            {
                var shown = cut < 0 ? "" : $"{Encoding.UTF8.GetString(_joined, 0, cut)} {Encoding.UTF8.GetString(_joined, cut, length - cut)}";
                throw file.Error($"has the merge '{shown}', whose tokens are not in the vocabulary or which is there twice");
            }
        }

        return merges;
    }

    // 'a b' or ['a', 'b'], joined in the buffer: the length of the first, -1 where it is no pair, and of both.
    private (int Cut, int Length) ReadPair(ref Utf8JsonReader reader)
    {
        if (reader.TokenType == JsonTokenType.StartArray)
        {
            reader.Read();
            var cut = Join(0, JsonParts.String(ref reader, ref _buffer));
            reader.Read();
            var length = Join(cut, JsonParts.String(ref reader, ref _buffer));
            reader.Read();
            return reader.TokenType == JsonTokenType.EndArray ? (cut, length) : throw new JsonException("a merge is of more than two tokens.");
        }

        var text = JsonParts.String(ref reader, ref _buffer);
        var space = text.IndexOf((byte)' ');
        var isPair = space >= 0 && text[(space + 1)..].IndexOf((byte)' ') < 0;
        return isPair ? (space, Join(Join(0, text[..space]), text[(space + 1)..])) : (-1, 0);
    }

    private int Join(int start, ReadOnlySpan<byte> text)
    {
        if (_joined.Length < start + text.Length)
        {
            Array.Resize(ref _joined, 2 * (start + text.Length));
        }

        text.CopyTo(_joined.AsSpan(start));
        return start + text.Length;
    }

    private ImmutableArray<int> ReadByteIds(TokenNames names, bool isByteLevel)
    {
        file.Require(isByteLevel || file.IsSet("byte_fallback"), "has characters without byte_fallback, which cannot be read");
        return
        [
            .. Enumerable.Range(0, 256).Select(value => IdOf(
                names, isByteLevel ? ByteAlphabet.Of((byte)value).ToString() : string.Create(CultureInfo.InvariantCulture, $"<0x{value:X2}>"))),
        ];
    }

    private int EosId(TokenNames names)
    {
        if (file.EosToken() is { } name)
        {
            return name.Length == 0 ? -1 : IdOf(names, name);
        }

        return EosNames.Select(known => names.TryFind(Encoding.UTF8.GetBytes(known), out var id) ? id : -1).FirstOrDefault(id => id >= 0, -1);
    }

    private int IdOf(TokenNames names, string token)
        => names.TryFind(Encoding.UTF8.GetBytes(token), out var id) ? id : throw file.Error($"lacks the token '{token}', which it needs");
}
