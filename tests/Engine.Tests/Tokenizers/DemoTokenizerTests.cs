using System.Text.Json;
using Distributed.Engine.Tokenizers;

namespace Distributed.Engine.Tests.Tokenizers;

/// <summary>
/// The demo's tokenizer against demo-encode.json, which SentencePiece 0.1.97 gave, and against the checkpoint's own golden file.
/// </summary>
public sealed class DemoTokenizerTests
{
    private static readonly SentencePieceTokenizer Tokenizer
        = SentencePieceTokenizer.Load(Path.Combine(Repository.DemoCheckpoint, "tokenizer.model"));

    private static readonly JsonElement Reference = Read("tests", "Engine.Tests", "Tokenizers", "demo-encode.json");

    [Fact]
    public void Encode_Texts_GivesTheReferencesIdsAndPieces()
    {
        foreach (var item in Reference.GetProperty("encode").EnumerateArray())
        {
            var ids = Tokenizer.Encode(item.GetProperty("text").GetString()!, bos: true, eos: false);

            Assert.Equal(Ids(item, "tokens"), ids);
            Assert.Equal(item.GetProperty("pieces").EnumerateArray().Select(piece => piece.GetString()), PiecesOf(ids));
            Assert.Equal(item.GetProperty("decoded").GetString(), Tokenizer.Decode(ids));
            Assert.Equal(item.GetProperty("text").GetString()!.Replace('\u2581', ' '),
                Tokenizer.Decode(ids));    // this model loses nothing else
        }
    }

    [Fact]
    public void Utf8Of_TokensOfATextBehindBos_AreTheTextsBytes()
    {
        const string Text = "Wren 😀 lived\nin a garden";
        var ids = Tokenizer.Encode(Text, bos: true, eos: true);

        Assert.Equal($" {Text}", System.Text.Encoding.UTF8.GetString([.. ids.SelectMany(Tokenizer.Utf8Of)])); // the space that encoding puts there
        Assert.Empty(Tokenizer.Utf8Of(Tokenizer.BosId));
        Assert.Throws<ArgumentOutOfRangeException>(() => Tokenizer.Utf8Of(Tokenizer.VocabularySize));
    }

    [Fact]
    public void Decode_Ids_GivesTheReferencesText()
    {
        foreach (var item in Reference.GetProperty("decode").EnumerateArray())
        {
            Assert.Equal(item.GetProperty("decoded").GetString(), Tokenizer.Decode(Ids(item, "tokens")));
        }

        var texts = Reference.GetProperty("decode_single_ids").EnumerateArray().Select(text => text.GetString()).ToArray();
        Assert.Equal(texts, Enumerable.Range(0, Tokenizer.VocabularySize).Select(id => Tokenizer.Decode([id])));
    }

    [Fact]
    public void Encode_PromptsOfTheGoldenFile_GivesTheirIds()
    {
        var cases = Read("configs", "demo", "golden.json").GetProperty("cases").EnumerateArray()
            .SelectMany(one => one.GetProperty("items").EnumerateArray());
        foreach (var item in cases)
        {
            Assert.Equal(Ids(item, "prompt_tokens"), Tokenizer.Encode(item.GetProperty("prompt").GetString()!, bos: true, eos: false));
            Assert.Equal(item.GetProperty("text").GetString(), Tokenizer.Decode(Ids(item, "tokens")));
        }
    }

    private static string[] PiecesOf(int[] ids) => [.. ids.Select(Tokenizer.Piece)];

    private static int[] Ids(JsonElement item, string name) => [.. item.GetProperty(name).EnumerateArray().Select(id => id.GetInt32())];

    private static JsonElement Read(params ReadOnlySpan<string> path)
        => JsonDocument.Parse(File.ReadAllBytes(Path.Combine([Repository.Root, .. path]))).RootElement;
}
