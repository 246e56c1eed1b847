using System.Text;
using System.Text.Json.Nodes;
using Distributed.Engine.Tests.Tokenizers;
using Distributed.Engine.Tokenizers;

namespace Distributed.Fuzz;

/// <summary>Tokenizers: one that is accepted makes ids of any text and text of any ids, the same at once and as a stream.</summary>
internal abstract class TokenizerTarget : FuzzTarget
{
    private static readonly string[] Texts =
        ["", "ab ba <s> \u2581 \u65e5\u672c e\u0301 \U0001f600 12345\r\n  x's", "\ud800", new('a', 300), new(' ', 300), "\0\u0001<mark>\ufffd"];

    public override bool IsRefusal(Exception exception) => exception is TokenizerFormatException;

    public override void Read(byte[] input, string path)
    {
        var tokenizer = Load(input, path);
        foreach (var text in Texts)
        {
            var ids = tokenizer.Encode(text, bos: true, eos: true);
            Require(ids.All(id => id >= 0 && id < tokenizer.VocabularySize), "ids are in the vocabulary");
            Require(ids.SequenceEqual(tokenizer.Encode(text, bos: true, eos: true)), "the same text gives the same ids");
            RequireSameStream(tokenizer, ids);
        }

        var some = Enumerable.Range(0, Math.Min(300, tokenizer.VocabularySize)).ToArray();
        Require(some.All(id => tokenizer.Piece(id) is not null), "each id has a piece");
        RequireSameStream(tokenizer, some);
    }

    /// <summary>Reads the bytes of a file of this kind.</summary>
    protected abstract Tokenizer Load(byte[] input, string path);

    private static void RequireSameStream(Tokenizer tokenizer, int[] ids)
    {
        var decoder = new Utf8StreamDecoder(tokenizer);
        var text = string.Concat(ids.Select(decoder.Push)) + decoder.Flush();
        Require(text == tokenizer.Decode(ids), "a stream says what decoding says");
        Require(Encoding.UTF8.GetString(Encoding.UTF8.GetBytes(text)) == text, "text is whole characters");
    }
}

/// <summary>tokenizer.model of both types, some with a character map: pieces, kinds, scores and settings of any kind, and fields that no model has.</summary>
internal sealed class SentencePieceTarget : TokenizerTarget
{
    // A small map of sequences of all kinds.
    internal static readonly byte[] Characters = CharacterMapField.Of(Path.Combine(Tests.Repository.Root, "tests", "Engine.Tests", "References", "unigram", "rules.model"));

    private readonly byte[]?[] _beginnings = new byte[16][];

    public override string Name => "tokenizer-model";

    public override string FileName => "tokenizer.model";

    public override byte[] Make(Random random)
    {
        var model = new ModelBuilder().Raw(Beginning(random));
        for (var count = random.Next(0, 30); count > 0; count--)
        {
            model = random.Next(12) switch
            {
                0 => model.Piece(Values.Text(random), Score(random), (PieceKind)random.Next(0, 8)),
                1 => model.Piece(Encoding.UTF8.GetBytes(Values.Text(random)), Score(random), random.Next(-1, 9)),
                2 => model.Message(random.Next(1, 8), part => ModelBuilder.Varint(part, random.Next(1, 50), Values.Number(random))),
                3 => model.Message(random.Next(1, 6), part => ModelBuilder.Bytes(part, random.Next(1, 50), Encoding.UTF8.GetBytes(Values.Text(random)))),
                4 => model.Raw((byte)random.Next(256), (byte)random.Next(256)),
                5 when random.Next(8) == 0 => model.Message(3, part => ModelBuilder.Bytes(part, 2, random.Next(2) == 0 ? Characters : Values.Damage(random, [.. Characters]))),
                _ => model.Piece(Word(random), Score(random), random.Next(6) == 0 ? PieceKind.UserDefined : random.Next(6) == 0 ? PieceKind.Unused : PieceKind.Normal),
            };
        }

        var bytes = model.ToArray();
        return random.Next(3) == 0 ? Values.Damage(random, bytes) : bytes;
    }

    protected override Tokenizer Load(byte[] input, string path) => SentencePieceTokenizer.Create(SentencePieceModel.Parse(input, path));

    // The pieces that every model has, made once for each kind of model.
    private byte[] Beginning(Random random)
    {
        if (random.Next(24) == 0)
        {
            return ModelBuilder.Bpe(byteFallback: true, withoutByte: random.Next(256)).ToArray();
        }

        var number = random.Next(_beginnings.Length);
        return _beginnings[number] ??= number < 8
            ? ModelBuilder.Bpe((number & 1) != 0, (number & 2) != 0, (number & 4) != 0).ToArray()
            : ModelBuilder.Unigram((number & 1) != 0).ToArray();
    }

    private static string Word(Random random) => new(random.GetItems<char>("ab \u2581\u65e5x", random.Next(1, 6)));

    private static float Score(Random random) => random.Next(5) switch
    {
        0 => BitConverter.Int32BitsToSingle(random.Next(int.MinValue, int.MaxValue)),
        1 => 0,
        _ => -random.Next(0, 1000) / 16f,
    };
}

/// <summary>tokenizer.json in its forms, its tree changed.</summary>
internal sealed class TokenizerJsonTarget : TokenizerTarget
{
    private static readonly string ByteLevel = TokenizerJsonBuilder
        .ByteLevel([("a", "b"), ("ab", "a"), ("\u0120", "a"), ("1", "2"), ("\u0120a", "b")], "<|begin_of_text|>", "<|end_of_text|>").ToJsonString();

    private static readonly string Converted = TokenizerJsonBuilder.Converted(SentencePieceModel.Parse(
        ModelBuilder.Bpe(byteFallback: true).Characters("ab\u2581x").Piece("ab", -1).Piece("\u2581a", -2).Piece("\u2581ab", -3).ToArray(), "tokenizer.model")).ToJsonString();

    private static readonly string UnigramOfWords = Unigram(splitsAtWhitespace: true);

    private static readonly string UnigramOfText = Unigram(splitsAtWhitespace: false);

    private static ReadOnlySpan<byte> Place => "\"@vocab\""u8;

    private readonly (string Around, byte[] Vocabulary) _byteLevelParts = Parts(ByteLevel);
    private readonly (string Around, byte[] Vocabulary) _convertedParts = Parts(Converted);

    public override string Name => "tokenizer-json";

    public override string FileName => "tokenizer.json";

    public override byte[] Make(Random random)
    {
        if (random.Next(3) == 0)
        {
            return JsonMutator.Mutate(random, JsonNode.Parse(random.Next(2) == 0 ? UnigramOfWords : UnigramOfText)!);
        }

        var text = random.Next(2) == 0 ? ByteLevel : Converted;
        if (random.Next(4) == 0)
        {
            return JsonMutator.Mutate(random, JsonNode.Parse(text)!);
        }

        // The many entries of the vocabulary would hide the rest, and are put in again as they were.
        var (rest, vocabulary) = text == ByteLevel ? _byteLevelParts : _convertedParts;
        var mutated = JsonMutator.Mutate(random, JsonNode.Parse(rest)!);
        var place = mutated.AsSpan().IndexOf(Place);
        return place < 0 ? mutated : [.. mutated[..place], .. vocabulary, .. mutated[(place + Place.Length)..]];
    }

    protected override Tokenizer Load(byte[] input, string path) => TokenizerJson.Parse(input, path);

    private static string Unigram(bool splitsAtWhitespace) => TokenizerJsonBuilder.Unigram(
        SentencePieceModel.Parse(ModelBuilder.Unigram().Characters("ab\u2581x").Piece("ab", -1).Piece("\u2581a", -2).Piece("\u2581ab", -3).ToArray(), "tokenizer.model"),
        SentencePieceTarget.Characters,
        splitsAtWhitespace).ToJsonString();

    private static (string Around, byte[] Vocabulary) Parts(string text)
    {
        var root = JsonNode.Parse(text)!;
        var model = root["model"]!.AsObject();
        var vocabulary = Encoding.UTF8.GetBytes(model["vocab"]!.ToJsonString());
        model["vocab"] = "@vocab";
        return (root.ToJsonString(), vocabulary);
    }
}
