using System.Text.Json;
using Distributed.Engine.Tokenizers;

namespace Distributed.Engine.Tests.Tokenizers;

/// <summary>
/// Every case of what the reference SentencePiece gave for two models that normalise differently: stories260k's removes extra spaces,
/// Llama 2's does not.
/// <see cref="DemoTokenizerTests"/> does the same for the model in this repository.
/// </summary>
public sealed class ReferenceTokenizerTests
{
    private const string Stories = "stories260k/tokenizer.model", StoriesCases = "stories260k/encode.json";
    private const string Llama2 = "llama2-tokenizer/tokenizer.model", Llama2Cases = "llama2-tokenizer/encode.json";

    [SharedDataTheory]
    [InlineData(Stories, StoriesCases, 512)]
    [InlineData(Llama2, Llama2Cases, 32000)]
    public void Load_Model_HasTheReferencesNumbers(string model, string cases, int vocabularySize)
    {
        var (tokenizer, reference) = Read(model, cases);

        Assert.Equal(vocabularySize, tokenizer.VocabularySize);
        Assert.Equal(reference.GetProperty("n_words").GetInt32(), tokenizer.VocabularySize);
        Assert.Equal(reference.GetProperty("bos").GetInt32(), tokenizer.BosId);
        Assert.Equal(reference.GetProperty("eos").GetInt32(), tokenizer.EosId);
        Assert.Equal(reference.GetProperty("pad").GetInt32(), tokenizer.PadId);
        Assert.Equal(0, tokenizer.UnknownId);
    }

    [SharedDataTheory]
    [InlineData(Stories, StoriesCases)]
    [InlineData(Llama2, Llama2Cases)]
    public void Encode_ReferenceTexts_GivesItsIdsAndPieces(string model, string cases)
    {
        var (tokenizer, reference) = Read(model, cases);
        foreach (var item in reference.GetProperty("encode").EnumerateArray())
        {
            var ids = tokenizer.Encode(item.GetProperty("text").GetString()!, bos: true, eos: false);

            Assert.Equal(Ids(item), ids);
            Assert.Equal(item.GetProperty("pieces").EnumerateArray().Select(piece => piece.GetString()), ids.Select(tokenizer.Piece));
        }
    }

    [SharedDataTheory]
    [InlineData(Stories, StoriesCases)]
    [InlineData(Llama2, Llama2Cases)]
    public void Decode_ReferenceIds_GivesItsText(string model, string cases)
    {
        var (tokenizer, reference) = Read(model, cases);
        foreach (var item in Items(reference))
        {
            Assert.Equal(item.GetProperty("decoded").GetString(), tokenizer.Decode(Ids(item)));
        }
    }

    [SharedDataTheory]
    [InlineData(Stories, StoriesCases)]
    [InlineData(Llama2, Llama2Cases)]
    public void Decode_SingleIds_GivesItsText(string model, string cases)
    {
        var (tokenizer, reference) = Read(model, cases);
        var texts = reference.GetProperty("decode_single_ids").EnumerateArray().Select(text => text.GetString()).ToArray();

        Assert.Equal(texts, Enumerable.Range(0, tokenizer.VocabularySize).Select(id => tokenizer.Decode([id])));
    }

    /// <summary>A stream that ends after any token says what decoding the tokens so far at once says.</summary>
    [SharedDataTheory]
    [InlineData(Stories, StoriesCases)]
    [InlineData(Llama2, Llama2Cases)]
    public void StreamDecode_CutAtEveryToken_EqualsBatchDecode(string model, string cases)
    {
        var (tokenizer, reference) = Read(model, cases);
        foreach (var ids in Items(reference).Select(Ids).Where(ids => ids.Length <= 400))
        {
            for (var count = 0; count <= ids.Length; count++)
            {
                var decoder = new Utf8StreamDecoder(tokenizer);
                var streamed = string.Concat(ids.Take(count).Select(decoder.Push)) + decoder.Flush();

                Assert.Equal(ReferenceDecoder.Decode(tokenizer, ids.AsSpan(0, count)), streamed);
            }
        }
    }

    private static IEnumerable<JsonElement> Items(JsonElement reference)
        => reference.GetProperty("encode").EnumerateArray().Concat(reference.GetProperty("decode").EnumerateArray());

    private static int[] Ids(JsonElement item) => [.. item.GetProperty("tokens").EnumerateArray().Select(token => token.GetInt32())];

    private static (SentencePieceTokenizer Tokenizer, JsonElement Reference) Read(string model, string cases)
        => (SentencePieceTokenizer.Load(Path.Combine(Repository.SharedData, model)),
            JsonDocument.Parse(File.ReadAllBytes(Path.Combine(Repository.SharedData, cases))).RootElement);
}
