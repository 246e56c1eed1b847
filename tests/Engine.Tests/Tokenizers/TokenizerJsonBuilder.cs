using System.Text.Json.Nodes;
using Distributed.Engine.Tokenizers;

namespace Distributed.Engine.Tests.Tokenizers;

/// <summary>tokenizer.json files of the known families, small, to be changed before they are written.</summary>
internal static class TokenizerJsonBuilder
{
    public const string Llama3Pattern =
        @"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

    /// <summary>Bytes as tokens 0 to 255, then what the merges make in their order, then these special tokens.</summary>
    public static JsonNode ByteLevel((string Left, string Right)[] merges, params string[] special)
    {
        var vocab = new JsonObject();
        for (var value = 0; value < 256; value++)
        {
            vocab.Add(ByteAlphabet.Of((byte)value).ToString(), value);
        }

        foreach (var (left, right) in merges)
        {
            vocab.TryAdd(left + right, vocab.Count);
        }

        var count = vocab.Count;
        return new JsonObject
        {
            ["added_tokens"] = new JsonArray([.. special.Select((content, index) => new JsonObject
            {
                ["id"] = count + index,
                ["content"] = content,
                ["special"] = true,
            })]),
            ["normalizer"] = null,
            ["pre_tokenizer"] = JsonNode.Parse($$"""
                {"type": "Sequence", "pretokenizers": [
                    {"type": "Split", "pattern": {"Regex": {{JsonValue.Create(Llama3Pattern).ToJsonString()}}}, "behavior": "Isolated", "invert": false},
                    {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false}]}
                """),
            ["model"] = new JsonObject
            {
                ["type"] = "BPE",
                ["unk_token"] = null,
                ["byte_fallback"] = false,
                ["ignore_merges"] = false,
                ["vocab"] = vocab,
                ["merges"] = new JsonArray([.. merges.Select(merge => JsonValue.Create($"{merge.Left} {merge.Right}"))]),
            },
        };
    }

    /// <summary>A SentencePiece model as transformers converts it: every way to make a piece of two is a merge, the best pieces first.</summary>
    public static JsonNode Converted(SentencePieceModel model)
    {
        var ids = new Dictionary<string, int>(StringComparer.Ordinal);
        foreach (var (id, piece) in model.Pieces.Index())
        {
            ids.Add(System.Text.Encoding.UTF8.GetString(piece.Utf8.Span), id);
        }

        var merges = new List<(string Left, string Right, float Score)>();
        foreach (var (piece, id) in ids.Where(entry => model.Pieces[entry.Value].Kind == PieceKind.Normal))
        {
            merges.AddRange(Enumerable.Range(1, piece.Length - 1)
                .Select(cut => (Left: piece[..cut], Right: piece[cut..]))
                .Where(pair => ids.ContainsKey(pair.Left) && ids.ContainsKey(pair.Right))
                .OrderBy(pair => ids[pair.Left]).ThenBy(pair => ids[pair.Right])
                .Select(pair => (pair.Left, pair.Right, model.Pieces[id].Score)));
        }

        return new JsonObject
        {
            ["added_tokens"] = new JsonArray([.. new[] { "<unk>", "<s>", "</s>" }.Select(content => new JsonObject
            {
                ["id"] = ids[content],
                ["content"] = content,
                ["special"] = true,
            })]),
            ["normalizer"] = JsonNode.Parse("""
                {"type": "Sequence", "normalizers": [
                    {"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]}
                """),
            ["pre_tokenizer"] = null,
            ["post_processor"] = JsonNode.Parse("""
                {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]}
                """),
            ["model"] = new JsonObject
            {
                ["type"] = "BPE",
                ["unk_token"] = "<unk>",
                ["fuse_unk"] = true,
                ["byte_fallback"] = true,
                ["vocab"] = new JsonObject(ids.Select(entry => KeyValuePair.Create(entry.Key, (JsonNode?)JsonValue.Create(entry.Value)))),
                ["merges"] = new JsonArray([
                    .. merges.OrderByDescending(merge => merge.Score).Select(merge => new JsonArray(merge.Left, merge.Right)),
                ]),
            },
        };
    }

    /// <summary>A unigram model as transformers converts it: pre-tokenizers as files have them since 2020, or normalizers as since 2023.</summary>
    /// <param name="model">Its pieces.</param>
    /// <param name="characters">Its precompiled_charsmap.</param>
    /// <param name="splitsAtWhitespace">The older form.</param>
    public static JsonNode Unigram(SentencePieceModel model, byte[] characters, bool splitsAtWhitespace)
    {
        var precompiled = new JsonObject { ["type"] = "Precompiled", ["precompiled_charsmap"] = Convert.ToBase64String(characters) };
        var metaspace = """{"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true}""";
        return new JsonObject
        {
            ["added_tokens"] = new JsonArray([.. model.Pieces.Index().Where(piece => piece.Item.Kind == PieceKind.Control).Select(piece => new JsonObject
            {
                ["id"] = piece.Index,
                ["content"] = System.Text.Encoding.UTF8.GetString(piece.Item.Utf8.Span),
                ["special"] = true,
            })]),
            ["normalizer"] = splitsAtWhitespace ? precompiled : new JsonObject
            {
                ["type"] = "Sequence",
                ["normalizers"] = new JsonArray(
                    precompiled,
                    JsonNode.Parse("""{"type": "Strip", "strip_left": false, "strip_right": true}"""),
                    JsonNode.Parse("""{"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": "▁"}""")),
            },
            ["pre_tokenizer"] = JsonNode.Parse(splitsAtWhitespace
                ? $$"""{"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, {{metaspace}}]}"""
                : metaspace),
            ["post_processor"] = JsonNode.Parse("""
                {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "</s>", "type_id": 0}}]}
                """),
            ["model"] = new JsonObject
            {
                ["type"] = "Unigram",
                ["unk_id"] = model.Pieces.Index().First(piece => piece.Item.Kind == PieceKind.Unknown).Index,
                ["byte_fallback"] = model.ByteFallback,
                ["vocab"] = new JsonArray([.. model.Pieces.Select(piece => new JsonArray(System.Text.Encoding.UTF8.GetString(piece.Utf8.Span), piece.Score))]),
            },
        };
    }

    /// <summary>Writes and loads it.</summary>
    public static Tokenizer Load(JsonNode json)
    {
        var path = Path.Combine(Directory.CreateTempSubdirectory("distributed-tests-").FullName, "tokenizer.json");
        try
        {
            File.WriteAllText(path, json.ToJsonString());
            return Tokenizer.Load(path);
        }
        finally
        {
            Directory.Delete(Path.GetDirectoryName(path)!, recursive: true);
        }
    }
}
