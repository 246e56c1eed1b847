using System.Text;
using System.Text.Json;

namespace Distributed.Engine.Tokenizers;

/// <summary>
/// Reads a unigram model from a tokenizer.json, as transformers converts SentencePiece's: the same pieces, scores and character map, so that the same
/// ids come out. Normalizers and pre-tokenizers are recognised where they say together what SentencePiece does: characters by the map, one space in front
/// and between words, none behind.
/// </summary>
/// <param name="root">The file.</param>
/// <param name="path">Names it in errors.</param>
/// <param name="error">Makes an error of what is wrong, to follow the file's name in a sentence.</param>
internal sealed class UnigramJson(JsonElement root, string path, Func<string, TokenizerFormatException> error)
{
    private const string Space = "\u2581";
    private const string RunOfSpaces = " {2,}";

    /// <summary>Reads the model.</summary>
    /// <param name="model">Of the file.</param>
    /// <param name="eosToken">What ends a text by tokenizer_config.json; <see langword="null"/> where it does not say.</param>
    /// <exception cref="TokenizerFormatException">A part is damaged or not known.</exception>
    public SentencePieceTokenizer Read(JsonElement model, string? eosToken)
    {
        var characters = ReadParts();
        var pieces = ReadPieces(model);
        var special = pieces.Where(piece => piece.Kind == PieceKind.Control).Select(piece => Encoding.UTF8.GetString(piece.Utf8.Span)).ToHashSet(StringComparer.Ordinal);
        var bos = TokenizerParts.BosOf(TokenizerParts.Steps(root, "post_processor", "processors")) ?? "";
        foreach (var name in new[] { bos, eosToken ?? "" }.Where(name => name.Length > 0 && !special.Contains(name)))
        {
            throw error($"lacks the special token '{name}', which it needs");
        }

        return SentencePieceTokenizer.Create(SentencePieceModel.OfUnigram(path, pieces, characters, (bos, eosToken ?? (special.Contains("</s>") ? "</s>" : ""))));
    }

    private CharacterMap? ReadParts()
    {
        var normalizers = TokenizerParts.Steps(root, "normalizer", "normalizers");
        var preTokenizers = TokenizerParts.Steps(root, "pre_tokenizer", "pretokenizers");
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
        return known ? characters : throw error($"has a unigram model with the normalizer and pre-tokenizer {string.Join(", ", names)} (or their settings), which cannot be read");
    }

    private CharacterMap ReadCharacters(JsonElement step)
    {
        var text = TokenizerParts.Text(step, "precompiled_charsmap") ?? "";
        var bytes = new byte[(text.Length / 4 * 3) + 3];
        return Convert.TryFromBase64String(text, bytes, out var count) && CharacterMap.TryRead(bytes.AsSpan(0, count)) is { } map
            ? map
            : throw error("has a damaged precompiled_charsmap");
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

    private List<Piece> ReadPieces(JsonElement model)
    {
        var unknown = model.TryGetProperty("unk_id", out var id) && id.ValueKind == JsonValueKind.Number ? id.GetInt32() : -1;
        var hasBytes = TokenizerParts.Flag(model, "byte_fallback", absent: false);
        var pieces = new List<Piece>();
        foreach (var entry in model.GetProperty("vocab").EnumerateArray())
        {
            if (entry.GetArrayLength() != 2)
            {
                throw error($"has an entry {pieces.Count} that is no pair of a text and a score");
            }

            var text = entry[0].GetString() ?? "";
            var kind = pieces.Count == unknown ? PieceKind.Unknown : hasBytes && text is ['<', '0', 'x', _, _, '>'] ? PieceKind.Byte : PieceKind.Normal;
            pieces.Add(new Piece(Encoding.UTF8.GetBytes(text), (float)entry[1].GetDouble(), kind));
        }

        var added = root.TryGetProperty("added_tokens", out var list) && list.ValueKind == JsonValueKind.Array ? list.EnumerateArray().ToArray() : [];
        foreach (var token in added.OrderBy(token => token.GetProperty("id").GetInt32()))
        {
            AddSpecial(pieces, token);
        }

        return pieces;
    }

    // One of the vocabulary, or behind it.
    private void AddSpecial(List<Piece> pieces, JsonElement token)
    {
        var content = token.GetProperty("content").GetString() ?? "";
        if (!TokenizerParts.Flag(token, "special", absent: false))
        {
            throw error($"has the added token '{content}' that is not special, which cannot be read in a unigram model");
        }

        var (id, text) = (token.GetProperty("id").GetInt32(), Encoding.UTF8.GetBytes(content));
        if (id < 0 || id > pieces.Count || (id < pieces.Count && !pieces[id].Utf8.Span.SequenceEqual(text)))
        {
            throw error($"gives the added token '{content}' the id {id}, which is another token's or leaves ids without one");
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
