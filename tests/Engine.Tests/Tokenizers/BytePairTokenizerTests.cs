using System.Text.Json;
using System.Text.Json.Nodes;
using Distributed.Engine.Tokenizers;

namespace Distributed.Engine.Tests.Tokenizers;

public sealed class BytePairTokenizerTests
{
    // GPT-2's spelling: U+0120 is a space.
    private static readonly (string Left, string Right)[] Merges =
    [
        ("h", "e"), ("l", "l"), ("he", "ll"), ("hell", "o"), ("Ġ", "w"), ("o", "r"), ("Ġw", "or"), ("l", "d"), ("Ã", "©"), ("a", "a"), ("aa", "aa"),
    ];

    private static readonly string[] Special = ["<|begin|>", "<|end|>"];

    [Fact]
    public void Encode_ByteLevel_MergesWithinWordsByRank()
    {
        var tokenizer = TokenizerJsonBuilder.Load(TokenizerJsonBuilder.ByteLevel(Merges, Special));

        Assert.Equal(256 + Merges.Length + 2, tokenizer.VocabularySize);
        Assert.Equal([259, 262, 263], tokenizer.Encode("hello world", bos: true, eos: true)); // no BOS, no EOS known
        Assert.Equal([264], tokenizer.Encode("é", bos: false, eos: false));
        Assert.Equal([266, 265, 'a'], tokenizer.Encode("aaaaaaa", bos: false, eos: false));
        Assert.Equal("Ġw", ByteAlphabet.Of((byte)' ') + "w");
        Assert.Equal(" wor", tokenizer.Piece(262));
    }

    [Fact]
    public void Encode_SpecialTokensWrittenOut_AreText()
    {
        var tokenizer = TokenizerJsonBuilder.Load(TokenizerJsonBuilder.ByteLevel(Merges, Special));

        var ids = tokenizer.Encode("<|begin|>", bos: false, eos: false);

        Assert.Equal(256 + Merges.Length, tokenizer.SpecialId("<|begin|>"));
        Assert.Equal(-1, tokenizer.SpecialId("hello"));
        Assert.DoesNotContain(tokenizer.SpecialId("<|begin|>"), ids);
        Assert.Equal("<|begin|>", tokenizer.Decode(ids));
        Assert.Equal("", tokenizer.Decode([tokenizer.SpecialId("<|begin|>"), tokenizer.VocabularySize + 5]));
    }

    [Fact]
    public void Encode_AddedTokenThatIsNotSpecial_IsTakenWhole()
    {
        var json = TokenizerJsonBuilder.ByteLevel(Merges, Special);
        json["added_tokens"]!.AsArray().Add(JsonNode.Parse("""{"id": 269, "content": "<tool call>", "special": false}"""));
        var tokenizer = TokenizerJsonBuilder.Load(json);

        Assert.Equal([259, 269, 269, 'x'], tokenizer.Encode("hello<tool call><tool call>x", bos: false, eos: false));
        Assert.Equal("hello<tool call>", tokenizer.Decode([259, 269]));
    }

    [Fact]
    public void Encode_IgnoreMerges_TakesWordsThatMergingWouldNotReach()
    {
        var json = TokenizerJsonBuilder.ByteLevel(Merges);
        json["model"]!["vocab"]!["xyz"] = 267;
        var merging = TokenizerJsonBuilder.Load(json);
        json["model"]!["ignore_merges"] = true;
        var whole = TokenizerJsonBuilder.Load(json);

        Assert.Equal(['x', 'y', 'z'], merging.Encode("xyz", bos: false, eos: false));
        Assert.Equal([267], whole.Encode("xyz", bos: false, eos: false));
        Assert.Equal(['x', 'x', 'y', 'z'], whole.Encode("xxyz", bos: false, eos: false));
    }

    [Fact]
    public void Encode_FormC_ComposesCharacters()
    {
        var json = TokenizerJsonBuilder.ByteLevel(Merges);
        var plain = TokenizerJsonBuilder.Load(json);
        json["normalizer"] = JsonNode.Parse("""{"type": "NFC"}""");
        var composing = TokenizerJsonBuilder.Load(json);

        Assert.Equal(['e', 0xCC, 0x81], plain.Encode("e\u0301", bos: false, eos: false));
        Assert.Equal([264], composing.Encode("e\u0301", bos: false, eos: false));
    }

    [Fact]
    public void Encode_Template_PutsBosInFront()
    {
        var json = TokenizerJsonBuilder.ByteLevel(Merges, Special);
        json["post_processor"] = JsonNode.Parse("""
            {"type": "Sequence", "processors": [{"type": "ByteLevel"},
                {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<|begin|>"}}, {"Sequence": {"id": "A"}}]}]}
            """);
        var tokenizer = TokenizerJsonBuilder.Load(json);

        Assert.Equal(267, tokenizer.BosId);
        Assert.Equal([267, 259], tokenizer.Encode("hello", bos: true, eos: false));
    }

    /// <summary>Random merges on random text against the definition: look at all pairs, merge the best, again.</summary>
    [Fact]
    public void Encode_RandomMerges_AgreesWithTheDefinition()
    {
        var random = new Random(41);
        for (var round = 0; round < 20; round++)
        {
            List<string> tokens = ["a", "b", "c"];
            var merges = new List<(string Left, string Right)>();
            while (merges.Count < 30)
            {
                var (left, right) = (tokens[random.Next(tokens.Count)], tokens[random.Next(tokens.Count)]);
                if (left.Length + right.Length <= 12 && !merges.Contains((left, right)))
                {
                    merges.Add((left, right));
                    tokens.Add(left + right);
                }
            }

            var tokenizer = TokenizerJsonBuilder.Load(TokenizerJsonBuilder.ByteLevel([.. merges]));
            for (var i = 0; i < 50; i++)
            {
                var text = new string([.. Enumerable.Range(0, random.Next(1, 60)).Select(_ => (char)('a' + random.Next(3)))]);
                Assert.Equal(Naive(text, merges), tokenizer.Encode(text, bos: false, eos: false).Select(tokenizer.Piece));
            }
        }
    }

    [Fact]
    public void Decode_AnyText_RoundTripsAlsoToken_ByToken()
    {
        var tokenizer = TokenizerJsonBuilder.Load(TokenizerJsonBuilder.ByteLevel(Merges, Special));
        string[] texts = ["", " ", "héllo wörld", "日本語 テキスト", "👩‍👩‍👧‍👦 family", "\0\u0001\u007f", "a\r\n\tb  ", "ſ ﬁ ½ Ⅷ \u0301", new('é', 3000)];
        foreach (var text in texts)
        {
            var ids = tokenizer.Encode(text, bos: false, eos: false);
            Assert.Equal(text, tokenizer.Decode(ids));
            var decoder = new Utf8StreamDecoder(tokenizer);
            Assert.Equal(text, string.Concat(ids.Select(decoder.Push)) + decoder.Flush());
        }

        Assert.Equal("a\uFFFDb", tokenizer.Decode(['a', 0xC3, 'b']));
        Assert.Equal("\uFFFD", tokenizer.Decode(tokenizer.Encode("\uD83D", bos: false, eos: false)));
    }

    /// <summary>A file that transformers would make of a SentencePiece model gives SentencePiece's ids.</summary>
    [Fact]
    public void Encode_ConvertedDemoModel_GivesIdsOfSentencePiece()
    {
        var path = Path.Combine(Repository.DemoCheckpoint, "tokenizer.model");
        var expected = SentencePieceTokenizer.Load(path);
        var converted = TokenizerJsonBuilder.Load(TokenizerJsonBuilder.Converted(SentencePieceModel.Read(path)));
        string[] texts =
        [
            "", "Once upon a time", " two  spaces ", "a\nb\tc", "naïve café 日本", "<s> is text </s>", "emoji 👍 and \u0301 marks", new string('a', 500), new string(' ', 50),
        ];

        Assert.Equal((expected.BosId, expected.EosId, expected.VocabularySize), (converted.BosId, converted.EosId, converted.VocabularySize));
        foreach (var text in texts)
        {
            var ids = expected.Encode(text, bos: true, eos: true);
            Assert.Equal(ids, converted.Encode(text, bos: true, eos: true));
            Assert.Equal(expected.Decode(ids), converted.Decode(ids));
        }
    }

    /// <summary>Texts with ids that Google's SentencePiece gave for Llama 2's model, through a file converted from that model.</summary>
    [SharedDataFact("llama2-tokenizer")]
    public void Encode_ConvertedLlama2Model_GivesIdsOfReference()
    {
        var folder = Path.Combine(Repository.SharedData, "llama2-tokenizer");
        var converted = TokenizerJsonBuilder.Load(TokenizerJsonBuilder.Converted(SentencePieceModel.Read(Path.Combine(folder, "tokenizer.model"))));
        var expected = SentencePieceTokenizer.Load(Path.Combine(folder, "tokenizer.model"));
        using var reference = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(folder, "encode.json")));
        var texts = Texts(reference.RootElement).Distinct().Take(400).ToArray();

        Assert.True(texts.Length > 50);
        foreach (var text in texts)
        {
            Assert.Equal(expected.Encode(text, bos: false, eos: false), converted.Encode(text, bos: false, eos: false));
        }
    }

    [Theory]
    [InlineData("a")]
    [InlineData("aab")]
    [InlineData(" ")]
    public void Encode_MillionOfOneKind_EndsInTime(string unit)
    {
        var tokenizer = TokenizerJsonBuilder.Load(TokenizerJsonBuilder.ByteLevel(Merges));
        var text = string.Concat(Enumerable.Repeat(unit, (1 << 20) / unit.Length));

        Assert.Equal(text, tokenizer.Decode(tokenizer.Encode(text, bos: false, eos: false)));
    }

    public static TheoryData<string, string?, string> Refusals => new()
    {
        { "model.type", "\"WordPiece\"", "has a model of the type WordPiece; BPE and Unigram can be read" },
        { "model.end_of_word_suffix", "\"</w>\"", "has end_of_word_suffix" },
        { "model.merges", "[\"q zz\"]", "has the merge 'q zz'" },
        { "model.merges", "[\"h e\", \"h e\"]", "which is there twice" },
        { "model.vocab", "{\"a\": 0}", "has the merge 'h e'" },
        { "model.vocab", "{\"a\": 900000}", "has ids up to 900000" },
        { "model.vocab", null, "is no tokenizer.json" },
        { "normalizer", "{\"type\": \"Lowercase\"}", "has the normalizer Lowercase" },
        { "pre_tokenizer.pretokenizers.0.pattern", "{\"Regex\": \"(a+)+$\"}", "patterns of files are not run" },
        { "pre_tokenizer.pretokenizers.0.behavior", "\"Removed\"", "patterns of files are not run" },
        { "pre_tokenizer.pretokenizers.1.add_prefix_space", "true", "has ByteLevel with add_prefix_space" },
        { "pre_tokenizer", "{\"type\": \"Whitespace\"}", "has the normalizer and pre-tokenizer Whitespace" },
        { "added_tokens", "[{\"id\": 400, \"content\": \"<x>\", \"special\": false, \"lstrip\": true}]", "strips spaces" },
    };

    [Theory]
    [MemberData(nameof(Refusals))]
    public void Load_WhatIsNotKnown_IsRefusedByName(string place, string? value, string sentence)
    {
        var json = TokenizerJsonBuilder.ByteLevel(Merges);
        var keys = place.Split('.');
        var node = keys[..^1].Aggregate(json, (parent, key) => int.TryParse(key, out var index) ? parent[index]! : parent[key]!);
        if (value is null)
        {
            node.AsObject().Remove(keys[^1]);
        }
        else
        {
            node[keys[^1]] = JsonNode.Parse(value);
        }

        var error = Assert.Throws<TokenizerFormatException>(() => TokenizerJsonBuilder.Load(json));

        Assert.Contains(sentence, error.Message, StringComparison.Ordinal);
    }

    /// <summary>Two ids of one name: found by the fuzzer.</summary>
    [Fact]
    public void Load_SpecialTokenTwice_IsRefused()
    {
        var json = TokenizerJsonBuilder.ByteLevel([], "<s>", "</s>");
        json["added_tokens"]![1]!["content"] = "<s>";

        var error = Assert.Throws<TokenizerFormatException>(() => TokenizerJsonBuilder.Load(json));

        Assert.Contains("has the special token 257 twice", error.Message, StringComparison.Ordinal);
    }

    /// <summary>What a file says neither fills the screen nor steers it: found by the fuzzer.</summary>
    [Fact]
    public void Load_LongAndHostileText_IsCutAndPrintable()
    {
        var json = TokenizerJsonBuilder.ByteLevel([]);
        json["model"]!["type"] = "\u001b[2J" + new string('a', 5000);

        var error = Assert.Throws<TokenizerFormatException>(() => TokenizerJsonBuilder.Load(json));

        Assert.DoesNotContain(error.Message, char.IsControl);
        Assert.EndsWith("....", error.Message, StringComparison.Ordinal);
        Assert.InRange(error.Message.Length, 400, 700);
    }

    private static List<string> Naive(string text, List<(string Left, string Right)> merges)
    {
        var parts = text.Select(character => character.ToString()).ToList();
        while (true)
        {
            var (best, place) = (int.MaxValue, -1);
            for (var i = 0; i + 1 < parts.Count; i++)
            {
                var rank = merges.IndexOf((parts[i], parts[i + 1]));
                (best, place) = rank >= 0 && rank < best ? (rank, i) : (best, place);
            }

            if (place < 0)
            {
                return parts;
            }

            parts[place] += parts[place + 1];
            parts.RemoveAt(place + 1);
        }
    }

    private static IEnumerable<string> Texts(JsonElement element) => element.ValueKind switch
    {
        JsonValueKind.Object => element.EnumerateObject().SelectMany(property => Texts(property.Value)),
        JsonValueKind.Array => element.EnumerateArray().SelectMany(Texts),
        JsonValueKind.String => [element.GetString()!],
        _ => [],
    };
}
