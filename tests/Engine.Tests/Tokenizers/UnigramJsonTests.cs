using System.Text.Json;
using System.Text.Json.Nodes;
using Distributed.Engine.Tokenizers;

namespace Distributed.Engine.Tests.Tokenizers;

/// <summary>
/// tokenizer.json with a unigram model, made of a SentencePiece model with the map of nmt_nfkc as transformers converts it, against what
/// SentencePiece gave for that model (References/make_unigram.py).
/// </summary>
public sealed class UnigramJsonTests
{
    private static readonly string References = Path.Combine(Repository.Root, "tests", "Engine.Tests", "References", "unigram");

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Encode_HostileAndInternationalTexts_GivesTheReferencesIds(bool splitsAtWhitespace)
    {
        var tokenizer = TokenizerJsonBuilder.Load(File(splitsAtWhitespace));
        using var cases = JsonDocument.Parse(System.IO.File.ReadAllBytes(Path.Combine(References, "nmt.json")));
        var count = 0;

        // A file has no user-defined pieces, and takes U+2581 of a text for a space at both ends.
        foreach (var item in cases.RootElement.EnumerateArray().Where(item => item.GetProperty("text").GetString() is { } text && !text.Contains("<mark") && !text.Contains('\u2581')))
        {
            var ids = tokenizer.Encode(item.GetProperty("text").GetString()!, bos: false, eos: false);

            Assert.Equal(item.GetProperty("ids").EnumerateArray().Select(id => id.GetInt32()), ids);
            Assert.Equal(item.GetProperty("decoded").GetString(), tokenizer.Decode(ids));
            count++;
        }

        Assert.True(count > 500, $"{count}");
        Assert.Equal("unigram (tokenizer.json)", tokenizer.Kind);
        Assert.Equal([1, .. tokenizer.Encode("a", false, false), 2], tokenizer.Encode("a", bos: true, eos: true));
    }

    [Fact]
    public void Load_SpecialTokensBehindTheVocabulary_HaveTheirIds()
    {
        var json = File(splitsAtWhitespace: true);
        var count = json["model"]!["vocab"]!.AsArray().Count;
        json["added_tokens"]!.AsArray().Add(new JsonObject { ["id"] = count, ["content"] = "<mask>", ["special"] = true, ["lstrip"] = true });

        var tokenizer = TokenizerJsonBuilder.Load(json);

        Assert.Equal(count + 1, tokenizer.VocabularySize);
        Assert.Equal(count, tokenizer.SpecialId("<mask>"));
        Assert.DoesNotContain(count, tokenizer.Encode("a <mask>", false, false));
        Assert.Equal("", tokenizer.Decode([count]));
    }

    [Fact]
    public void Load_WithoutTokensForTheEnds_AddsNone()
    {
        var json = File(splitsAtWhitespace: true);
        json["post_processor"] = null;
        json["model"]!["vocab"]![2]![0] = "</end>";
        json["added_tokens"]![1]!["content"] = "</end>";

        var tokenizer = TokenizerJsonBuilder.Load(json);

        Assert.Equal((-1, -1), (tokenizer.BosId, tokenizer.EosId));
        Assert.Equal(tokenizer.Encode("a", false, false), tokenizer.Encode("a", bos: true, eos: true));
    }

    [Theory]
    [InlineData("normalizer", """{"type": "Precompiled", "precompiled_charsmap": "AAAA"}""", "has a damaged precompiled_charsmap.")]
    [InlineData("normalizer", """{"type": "Precompiled", "precompiled_charsmap": "!"}""", "has a damaged precompiled_charsmap.")]
    [InlineData("normalizer", "null", "has a unigram model with the normalizer and pre-tokenizer WhitespaceSplit, Metaspace (or their settings), which cannot be read.")]
    [InlineData("normalizer", """{"type": "Lowercase"}""", "has a unigram model with the normalizer and pre-tokenizer Lowercase, WhitespaceSplit, Metaspace (or their settings), which cannot be read.")]
    [InlineData("pre_tokenizer", """{"type": "Whitespace"}""", "normalizer and pre-tokenizer Precompiled, Whitespace (or their settings), which cannot be read.")]
    [InlineData("post_processor", """{"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<bos>"}}]}""", "lacks the special token '<bos>', which it needs.")]
    [InlineData("added_tokens", """[{"id": 5, "content": "<x>", "special": true}]""", "gives the added token '<x>' the id 5, which is another token's or leaves ids without one.")]
    [InlineData("added_tokens", """[{"id": 700, "content": "<x>", "special": false}]""", "has the added token '<x>' that is not special, which cannot be read in a unigram model.")]
    public void Load_PartsThatAreNotKnown_AreRefusedByName(string key, string value, string problem)
    {
        var json = File(splitsAtWhitespace: true);
        json[key] = JsonNode.Parse(value);

        var error = Assert.Throws<TokenizerFormatException>(() => TokenizerJsonBuilder.Load(json));

        Assert.EndsWith(problem, error.Message, StringComparison.Ordinal);
    }

    private static JsonNode File(bool splitsAtWhitespace)
    {
        var path = Path.Combine(References, "nmt.model");
        return TokenizerJsonBuilder.Unigram(SentencePieceModel.Read(path), CharacterMapField.Of(path), splitsAtWhitespace);
    }
}
