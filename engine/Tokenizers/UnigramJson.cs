using System.Text;
using System.Text.Json;

namespace Distributed.Engine.Tokenizers;

/// <summary>
/// Reads a unigram model from a tokenizer.json, as transformers converts SentencePiece's: the same pieces, scores and character map, so that the same
/// ids come out. Normalizers and pre-tokenizers are recognised where they say together what SentencePiece does: characters by the map, one space in front
/// and between words, none behind.
/// </summary>
/// <param name="file">The file.</param>
internal sealed class UnigramJson(TokenizerJson file)
{
    private const string Space = "\u2581";
    private const string RunOfSpaces = " {2,}";

    /// <summary>Reads the model.</summary>
    /// <exception cref="TokenizerFormatException">A part is damaged or not known.</exception>
    public SentencePieceTokenizer Read()
    {
        var characters = ReadParts();
        var pieces = ReadPieces();
        var bos = TokenizerParts.BosOf(TokenizerParts.Steps(file.Root, "post_processor", "processors")) ?? "";
        var eos = file.EosToken();
        foreach (var name in new[] { bos, eos ?? "" }.Where(name => name.Length > 0 && !IsSpecial(name)))
        {
            throw file.Error($"lacks the special token '{name}', which it needs");
        }

        return SentencePieceTokenizer.Create(SentencePieceModel.OfUnigram(file.Path, pieces, characters, (bos, eos ?? (IsSpecial("</s>") ? "</s>" : ""))));

        bool IsSpecial(string name)
        {
            var utf8 = Encoding.UTF8.GetBytes(name);
            return pieces.Exists(piece => piece.Kind == PieceKind.Control && piece.Utf8.Span.SequenceEqual(utf8));
        }
    }

    private CharacterMap? ReadParts()
    {
        var normalizers = TokenizerParts.Steps(file.Root, "normalizer", "normalizers");
        var preTokenizers = TokenizerParts.Steps(file.Root, "pre_tokenizer", "pretokenizers");
        CharacterMap? characters = null;
        var steps = normalizers.ToArray();
        if (steps is [var first, .. var others] && TokenizerParts.Type(first) == "Precompiled")
        {
            characters = ReadCharacters(first);
            steps = others;
        }

        // Either words are cut at spaces, which the map makes of all that is like one, or spaces are removed before.
        var known = (steps, preTokenizers) switch
        {
            ([], [var split, var metaspace]) => TokenizerParts.Type(split) == "WhitespaceSplit" && IsMetaspace(metaspace) && MakesSpaces(characters),
            ([var strip, var replace], [var metaspace]) => TokenizerParts.Type(strip) == "Strip"
                && !TokenizerParts.Flag(strip, "strip_left", absent: true) && TokenizerParts.Flag(strip, "strip_right", absent: true)
                && ReplacesRuns(replace) && IsMetaspace(metaspace) && MakesSpaces(characters),
            _ => false,
        };
        var names = normalizers.Concat(preTokenizers).Select(step => TokenizerParts.Type(step) ?? "nameless");
        return known ? characters : throw file.Error($"has a unigram model with the normalizer and pre-tokenizer {string.Join(", ", names)} (or their settings), which cannot be read");
    }

    private CharacterMap ReadCharacters(JsonElement step)
    {
        var text = TokenizerParts.Text(step, "precompiled_charsmap") ?? "";
        var bytes = new byte[(text.Length / 4 * 3) + 3];
        return Convert.TryFromBase64String(text, bytes, out var count) && CharacterMap.TryRead(bytes.AsSpan(0, count)) is { } map
            ? map
            : throw file.Error("has a damaged precompiled_charsmap");
    }

    // Tabs and line ends would be cut at by one side and kept by the other, were they not spaces by then.
    private static bool MakesSpaces(CharacterMap? characters)
        => characters is not null && characters.Maps("\t"u8, " "u8) && characters.Maps("\n"u8, " "u8) && characters.Maps("\r"u8, " "u8);

    private static bool IsMetaspace(JsonElement step)
        => TokenizerParts.Type(step) == "Metaspace"
            && TokenizerParts.Text(step, "replacement") == Space
            && (TokenizerParts.Text(step, "prepend_scheme") is { } scheme ? scheme == "always" : TokenizerParts.Flag(step, "add_prefix_space", absent: true));

    private static bool ReplacesRuns(JsonElement step)
        => TokenizerParts.Type(step) == "Replace"
            && TokenizerParts.Text(step, "content") is " " or Space
            && step.TryGetProperty("pattern", out var pattern)
            && pattern.ValueKind == JsonValueKind.Object
            && TokenizerParts.Text(pattern, "Regex") == RunOfSpaces;

    private List<Piece> ReadPieces()
    {
        var part = file.Vocabulary();
        var unknown = file.Model.TryGetProperty("unk_id", out var id) && id.ValueKind == JsonValueKind.Number ? id.GetInt32() : -1;
        var hasBytes = file.IsSet("byte_fallback");
        var pieces = new List<Piece>(part.Count + file.Added.Length);
        var texts = new byte[part.TextByteCount].AsMemory(); // of all pieces
        var buffer = Array.Empty<byte>();
        var reader = file.Parts.Reader(part);
        reader.Read();
        file.Require(reader.TokenType == JsonTokenType.StartArray, "has a vocab that is no list");
        while (reader.Read() && reader.TokenType != JsonTokenType.EndArray)
        {
            var isPair = reader.TokenType == JsonTokenType.StartArray && reader.Read() && reader.TokenType == JsonTokenType.String;
            var utf8 = isPair ? JsonParts.String(ref reader, ref buffer) : [];
            isPair = isPair && reader.Read() && reader.TokenType == JsonTokenType.Number;
            var score = isPair ? (float)reader.GetDouble() : 0;
            if (!isPair || !reader.Read() || reader.TokenType != JsonTokenType.EndArray)
            {
                throw file.Error($"has an entry {pieces.Count} that is no pair of a text and a score");
            }

            utf8.CopyTo(texts.Span);
            var text = texts[..utf8.Length];
            texts = texts[utf8.Length..];
            var kind = pieces.Count == unknown ? PieceKind.Unknown
                : hasBytes && utf8 is [(byte)'<', (byte)'0', (byte)'x', _, _, (byte)'>'] ? PieceKind.Byte
                : PieceKind.Normal;
            pieces.Add(new Piece(text, score, kind));
        }

        foreach (var token in file.Added.OrderBy(token => token.Id))
        {
            AddSpecial(pieces, token);
        }

        return pieces;
    }

    // One of the vocabulary, or behind it.
    private void AddSpecial(List<Piece> pieces, AddedToken token)
    {
        var (id, text, isSpecial, _) = token;
        if (!isSpecial)
        {
            throw file.Error($"has the added token '{Encoding.UTF8.GetString(text)}' that is not special, which cannot be read in a unigram model");
        }

        if (id > pieces.Count || (id < pieces.Count && !pieces[id].Utf8.Span.SequenceEqual(text)))
        {
            throw file.Error($"gives the added token '{Encoding.UTF8.GetString(text)}' the id {id}, which is another token's or leaves ids without one");
        }

        if (id == pieces.Count)
        {
            pieces.Add(new Piece(text, 0, PieceKind.Control));
        }
        else if (pieces[id].Kind != PieceKind.Unknown)
        {
            pieces[id] = new Piece(text, pieces[id].Score, PieceKind.Control);
        }
    }
}
