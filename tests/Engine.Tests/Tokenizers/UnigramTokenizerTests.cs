using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Distributed.Engine.Tokenizers;

namespace Distributed.Engine.Tests.Tokenizers;

/// <summary>
/// Models of References/make_unigram.py, against what SentencePiece 0.1.97 gave: unigram with bytes for what it lacks (bytes), with extra
/// spaces removed (plain) and with the character map of nmt_nfkc (nmt), byte pairs with a map of its own (rules); all with two user-defined pieces.
/// </summary>
public sealed class UnigramTokenizerTests
{
    private const int BlockLength = 4096;

    private static readonly string References = Path.Combine(Repository.Root, "tests", "Engine.Tests", "References", "unigram");

    [Theory]
    [InlineData("bytes")]
    [InlineData("plain")]
    [InlineData("nmt")]
    [InlineData("rules")]
    public void Encode_HostileAndInternationalTexts_GivesTheReferencesIds(string name)
    {
        var tokenizer = Load(name);
        var count = 0;
        foreach (var item in Cases(name))
        {
            var ids = tokenizer.Encode(item.GetProperty("text").GetString()!, bos: false, eos: false);

            Assert.Equal(Ids(item), ids);
            Assert.Equal(item.GetProperty("decoded").GetString(), tokenizer.Decode(ids));
            count++;
        }

        Assert.True(count > 450);
        Assert.Equal(name == "rules" ? "SentencePiece BPE" : "SentencePiece unigram", tokenizer.Kind);
    }

    [Theory]
    [InlineData("bytes")]
    [InlineData("plain")]
    [InlineData("nmt")]
    [InlineData("rules")]
    public void StreamDecode_ReferenceIds_GivesItsText(string name)
    {
        var tokenizer = Load(name);
        foreach (var item in Cases(name))
        {
            var decoder = new Utf8StreamDecoder(tokenizer);
            Assert.Equal(item.GetProperty("decoded").GetString(), string.Concat(Ids(item).Select(decoder.Push)) + decoder.Flush());
        }
    }

    /// <summary>Every character there is, between letters and in front of an accent: both models have bytes, so ids show what the map made of it.</summary>
    [Theory]
    [InlineData("nmt")]
    [InlineData("rules")]
    public void Encode_EveryCharacter_IsMappedAsTheReferenceDoes(string name)
    {
        var tokenizer = Load(name);
        var expected = Document($"{name}-blocks.json").EnumerateArray().Select(hash => hash.GetString()).ToArray();
        var text = new StringBuilder();
        for (var start = 0; start < 0x110000; start += BlockLength)
        {
            text.Clear();
            foreach (var code in Enumerable.Range(start, BlockLength).Where(Rune.IsValid))
            {
                var character = new Rune(code).ToString();
                text.AppendJoin(',', tokenizer.Encode($"a{character}b", false, false)).Append(';');
                text.AppendJoin(',', tokenizer.Encode($"{character}\u0301", false, false)).Append(';');
            }

            var hash = Convert.ToHexStringLower(SHA256.HashData(Encoding.ASCII.GetBytes(text.ToString())))[..16];
            Assert.True(expected[start / BlockLength] == hash, $"U+{start:X4} to U+{start + BlockLength - 1:X4}");
        }
    }

    /// <summary>All ways to cut a short text, tried one by one: none has a greater sum.</summary>
    [Fact]
    public void Run_RandomModels_FindsTheGreatestSum()
    {
        var random = new Random(12);
        for (var number = 0; number < 300; number++)
        {
            var pieces = Enumerable.Range(0, 12).Select(_ => Word(random, 4)).Concat(["a", "b", "c"]).Distinct().ToArray();
            var builder = ModelBuilder.Unigram();
            var scores = pieces.ToDictionary(piece => piece, _ => (float)-random.Next(1, 1000) / 64, StringComparer.Ordinal);
            Array.ForEach(pieces, piece => builder.Piece(piece, scores[piece]));
            var tokenizer = builder.Build();
            var text = Word(random, 12);

            var sum = tokenizer.Encode(text, false, false).Sum(id => scores[tokenizer.Piece(id)]);

            Assert.Equal(Best(text, scores), sum);
        }
    }

    [Fact]
    public void Encode_UnusedPieceAndUnknownCharacter_AreNotTaken()
    {
        var tokenizer = ModelBuilder.Unigram().Piece("a", -1).Piece("b", -2).Piece("ab", -0.5f, PieceKind.Unused).Build();

        Assert.Equal([3, 4], tokenizer.Encode("ab", false, false));
        Assert.Equal([3, 0, 4], tokenizer.Encode("axyb", false, false)); // a run of unknown characters is one
    }

    /// <summary>Neither a run nor pieces that overlap everywhere make it slow. The limit is wide, as machines differ.</summary>
    [Theory]
    [InlineData("a")]
    [InlineData(" ")]
    [InlineData("\u65E5")]
    [InlineData("<mark")]
    public void Encode_OneMebibyteOfOneText_Ends(string unit)
    {
        var builder = ModelBuilder.Unigram(byteFallback: true).Piece("<mark>", 0, PieceKind.UserDefined).Piece("\u2581", -3);
        for (var length = 1; length <= 64; length++)
        {
            builder.Piece(new string('a', length), -length - 1);
        }

        var tokenizer = builder.Build();
        var text = Encoding.UTF8.GetBytes(string.Concat(Enumerable.Repeat(unit, (1 << 20) / Encoding.UTF8.GetByteCount(unit))));

        var started = ThreadTime.Now;
        var ids = tokenizer.Encode(text, bos: false, eos: false);

        Assert.InRange(ThreadTime.Now - started, TimeSpan.Zero, TimeSpan.FromSeconds(20));
        Assert.Equal(Encoding.UTF8.GetString(text), tokenizer.Decode(ids));
    }

    [Theory]
    [InlineData(3, "word")]
    [InlineData(4, "char")]
    [InlineData(9, "9")]
    public void Parse_OtherTypes_AreRefusedByName(int type, string name)
    {
        var model = ModelBuilder.Unigram().Piece("a", -1).Message(2, trainer => ModelBuilder.Varint(trainer, 3, type)).ToArray();

        var error = Assert.Throws<TokenizerFormatException>(() => SentencePieceModel.Parse(model, "tokenizer.model"));

        Assert.Contains($"is a SentencePiece model of type {name}; those of type bpe", error.Message, StringComparison.Ordinal);
    }

    private static float Best(string text, Dictionary<string, float> scores)
    {
        var best = new float[text.Length + 1];
        Array.Fill(best, float.NegativeInfinity, 1, text.Length);
        for (var start = 0; start < text.Length; start++)
        {
            foreach (var (piece, score) in scores.Where(piece => text.AsSpan(start).StartsWith(piece.Key)))
            {
                best[start + piece.Length] = Math.Max(best[start + piece.Length], best[start] + score);
            }
        }

        return best[^1];
    }

    private static string Word(Random random, int maxLength) => new(random.GetItems<char>("abc", random.Next(1, maxLength + 1)));

    private static SentencePieceTokenizer Load(string name) => SentencePieceTokenizer.Load(Path.Combine(References, $"{name}.model"));

    private static JsonElement[] Cases(string name)
        => [.. Document($"{name}.json").EnumerateArray()];

    private static JsonElement Document(string name) => JsonDocument.Parse(File.ReadAllBytes(Path.Combine(References, name))).RootElement;

    private static int[] Ids(JsonElement item) => [.. item.GetProperty("ids").EnumerateArray().Select(id => id.GetInt32())];
}
