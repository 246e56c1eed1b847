using System.Text;
using Distributed.Engine.Tokenizers;

namespace Distributed.Engine.Tests.Tokenizers;

/// <summary>
/// What the public models do not have: small models, each for one rule. The ids were checked against SentencePiece 0.1.97.
/// </summary>
public sealed class SentencePieceTokenizerTests
{
    [Fact]
    public void Encode_EqualScores_MergesTheLeftmostFirst()
    {
        var tokenizer = ModelBuilder.Bpe(addDummyPrefix: false).Piece("a", -9).Piece("aa", -1).Piece("aaa", -1).Build();

        Assert.Equal(["aaa", "aa"], Pieces(tokenizer, "aaaaa"));
        Assert.Equal(["aaa", "a"], Pieces(tokenizer, "aaaa"));
    }

    [Fact]
    public void Encode_HigherScore_BeatsPositionAndLength()
    {
        var tokenizer = ModelBuilder.Bpe(addDummyPrefix: false).Characters("abc").Piece("ab", -2).Piece("bc", -1).Piece("abc", -3).Build();
        var withoutAbc = ModelBuilder.Bpe(addDummyPrefix: false).Characters("abc").Piece("ab", -2).Piece("bc", -1).Build();

        Assert.Equal(["abc"], Pieces(tokenizer, "abc"));
        Assert.Equal(["ab", "abc"], Pieces(tokenizer, "ababc"));
        Assert.Equal(["a", "bc"], Pieces(withoutAbc, "abc"));
    }

    /// <summary>Scores -0 and 0 are equal: the leftmost pair wins, whatever the signs.</summary>
    [Fact]
    public void Encode_NegativeZero_IsZero()
    {
        var tokenizer = ModelBuilder.Bpe(addDummyPrefix: false).Characters("abc").Piece("ab", -0f).Piece("bc", 0f).Build();

        Assert.Equal(["ab", "c"], Pieces(tokenizer, "abc"));
    }

    [Fact]
    public void Encode_UserDefinedPieces_AreTakenWholeLongestFirst()
    {
        var tokenizer = ModelBuilder.Bpe(addDummyPrefix: false)
            .Piece("<t>", 0, PieceKind.UserDefined).Piece("<t>x", 0, PieceKind.UserDefined)
            .Piece("a", -9).Piece("x", -9).Piece("y", -9).Piece("a<t>", -1).Piece("xy", -1).Build();

        Assert.Equal(["a", "<t>", "a"], Pieces(tokenizer, "a<t>a"));
        Assert.Equal(["<t>x", "y"], Pieces(tokenizer, "<t>xy"));
        Assert.Equal("a<t>a", tokenizer.Decode(tokenizer.Encode("a<t>a", false, false)));
    }

    [Fact]
    public void Encode_UserDefinedPieceWithSpaces_KeepsThemWhereOthersGo()
    {
        var tokenizer = ModelBuilder.Bpe(removeExtraWhitespaces: true)
            .Piece("  x", 0, PieceKind.UserDefined).Characters("\u2581xy").Build();

        Assert.Equal(["\u2581", "y", "\u2581", "\u2581", "x"], Pieces(tokenizer, "y  x"));
        Assert.Equal(["\u2581", "y", "\u2581", "y"], Pieces(tokenizer, "y  y"));
    }

    [Fact]
    public void Encode_UnusedPieces_FallApartAgain()
    {
        var tokenizer = ModelBuilder.Bpe(addDummyPrefix: false)
            .Characters("abc").Piece("ab", -1, PieceKind.Unused).Piece("abc", -2, PieceKind.Unused).Piece("abcc", -3).Build();

        Assert.Equal(["a", "b"], Pieces(tokenizer, "ab"));
        Assert.Equal(["a", "b", "c"], Pieces(tokenizer, "abc"));
        Assert.Equal(["abcc"], Pieces(tokenizer, "abcc"));
    }

    [Fact]
    public void Encode_WithoutByteFallback_GivesOneUnknownForARun()
    {
        var tokenizer = ModelBuilder.Bpe(addDummyPrefix: false).Piece("a", -9).Build();

        Assert.Equal([0, 3, 0, 3], tokenizer.Encode("xyéza\u65E5a", false, false));
        Assert.Equal(" \u2047 a", tokenizer.Decode([0, 3]));
    }

    [Fact]
    public void Encode_ControlAndBytePiecesWrittenOut_AreText()
    {
        var tokenizer = ModelBuilder.Bpe(byteFallback: true, addDummyPrefix: false).Build();

        Assert.Equal("<s>"u8.ToArray().Select(value => value + 3), tokenizer.Encode("<s>", false, false));
        Assert.Equal("<0x41>"u8.ToArray().Select(value => value + 3), tokenizer.Encode("<0x41>", false, false));
        Assert.Equal([1, 'a' + 3, 2], tokenizer.Encode("a", bos: true, eos: true));
    }

    [Fact]
    public void Encode_LoneSurrogates_AreReplaced()
    {
        var tokenizer = ModelBuilder.Bpe(byteFallback: true, addDummyPrefix: false).Build();
        (string Text, string Expected)[] cases =
        [
            ("a\uD800b", "a\uFFFDb"), ("\uDC00", "\uFFFD"), ("\uDC00\uD800", "\uFFFD\uFFFD"), ("\uD83D\uDE00", "\uD83D\uDE00"),
        ];
        foreach (var (text, expected) in cases)
        {
            Assert.Equal(expected, tokenizer.Decode(tokenizer.Encode(text, false, false)));
        }
    }

    [Theory]
    [InlineData(new byte[] { 0xFF }, 1)]
    [InlineData(new byte[] { 0xC3 }, 1)]
    [InlineData(new byte[] { 0xE2, 0x82 }, 2)]
    [InlineData(new byte[] { 0xF0, 0x9F, 0x98 }, 3)]
    [InlineData(new byte[] { 0xC0, 0x80 }, 2)]
    [InlineData(new byte[] { 0xED, 0xA0, 0x80 }, 3)]
    [InlineData(new byte[] { 0xF4, 0x90, 0x80, 0x80 }, 4)]
    public void Encode_BytesThatAreNoUtf8_AreReplacedOneByOne(byte[] bytes, int replacements)
    {
        var tokenizer = ModelBuilder.Bpe(byteFallback: true, addDummyPrefix: false).Build();

        Assert.Equal(string.Concat(Enumerable.Repeat("\uFFFD", replacements)), tokenizer.Decode(tokenizer.Encode(bytes, false, false)));
    }

    [Theory]
    [InlineData(true, true, "  a  b ", "a b")]
    [InlineData(true, false, "  a  b ", "  a  b ")]
    [InlineData(false, true, "  a  b ", "a b")]
    [InlineData(false, false, "  a  b ", "  a  b ")]
    public void Decode_OfEncode_GivesTheNormalizedText(bool addDummyPrefix, bool removeExtraWhitespaces, string text, string expected)
    {
        var tokenizer = ModelBuilder.Bpe(true, addDummyPrefix, removeExtraWhitespaces)
            .Characters("\u2581a").Piece("\u2581a", -1).Piece("\u2581\u2581", -2).Build();

        Assert.Equal(expected, tokenizer.Decode(tokenizer.Encode(text, false, false)));
    }

    [Fact]
    public void Decode_IdOutOfRange_Throws()
    {
        var tokenizer = ModelBuilder.Bpe().Build();

        Assert.Throws<ArgumentOutOfRangeException>(() => tokenizer.Decode([3]));
        Assert.Throws<ArgumentOutOfRangeException>(() => tokenizer.Decode([-1]));
        Assert.Throws<ArgumentOutOfRangeException>(() => tokenizer.Piece(int.MaxValue));
        Assert.Throws<ArgumentOutOfRangeException>(() => new Utf8StreamDecoder(tokenizer).Push(-1));
    }

    [Fact]
    public void Push_BytesOfACharacter_AreHeldUntilItIsComplete()
    {
        var tokenizer = ModelBuilder.Bpe(byteFallback: true).Piece("\u2581a", -1).Build();
        var decoder = new Utf8StreamDecoder(tokenizer);
        const int A = 259;

        Assert.Equal(["", "", "", "\U0001F600", " a"], Push(0xF0 + 3, 0x9F + 3, 0x98 + 3, 0x80 + 3, A));
        Assert.Equal(["", "\uFFFDx"], Push(0xE2 + 3, 'x' + 3));               // not a continuation: both come out
        Assert.Equal(["", "\uFFFD a"], Push(0xE2 + 3, A));
        Assert.Equal(["", "\uFFFD"], Push(0xE2 + 3, tokenizer.EosId));
        Assert.Equal(["", ""], Push(0xF0 + 3, 0x9F + 3));
        Assert.Equal("\uFFFD\uFFFD", decoder.Flush());
        Assert.Equal(["a", " a"], Push(A, A));                                // as new after Flush

        string[] Push(params int[] ids) => [.. ids.Select(decoder.Push)];
    }

    /// <summary>Random ids: what a stream says up to any token is what decoding them at once says.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void StreamDecode_RandomIds_EqualsTheOracle(bool removeExtraWhitespaces)
    {
        var tokenizer = ModelBuilder.Bpe(true, true, removeExtraWhitespaces)
            .Piece("\u2581", -9).Piece("\u2581\u2581", -9).Piece("\u2581a", -9).Piece("b", -9).Piece("\u65E5", -9).Build();
        var random = new Random(4);
        for (var number = 0; number < 5000; number++)
        {
            var ids = Enumerable.Range(0, random.Next(1, 12)).Select(_ => AnyId(random, tokenizer.VocabularySize)).ToArray();
            var decoder = new Utf8StreamDecoder(tokenizer);

            Assert.Equal(ReferenceDecoder.Decode(tokenizer, ids), string.Concat(ids.Select(decoder.Push)) + decoder.Flush());
        }

        // Any id; one of the pieces of text, the last five; a control piece or a byte that begins or continues a character.
        static int AnyId(Random random, int count) => random.Next(3) switch
        {
            0 => random.Next(count),
            1 => random.Next(count - 5, count),
            _ => random.GetItems([0, 1, 2, 0xC3 + 3, 0xA9 + 3, 0xE2 + 3, 0x82 + 3, 0xAC + 3, 0xF0 + 3, ' ' + 3], 1)[0],
        };
    }

    /// <summary>
    /// The attack on tokenizers: a long run of one character. The limit is wide, as machines differ; quadratic time would miss it by a
    /// factor of a thousand.
    /// </summary>
    [Theory]
    [InlineData("a")]
    [InlineData(" ")]
    [InlineData("\u65E5")]
    public void Encode_OneMebibyteOfOneCharacter_Ends(string unit)
    {
        var tokenizer = SentencePieceTokenizer.Load(Path.Combine(Repository.DemoCheckpoint, "tokenizer.model"));
        var text = Encoding.UTF8.GetBytes(string.Concat(Enumerable.Repeat(unit, (1 << 20) / Encoding.UTF8.GetByteCount(unit))));

        var started = ThreadTime.Now;
        var ids = tokenizer.Encode(text, bos: false, eos: false);

        Assert.InRange(ThreadTime.Now - started, TimeSpan.Zero, TimeSpan.FromSeconds(20));
        Assert.Equal(Encoding.UTF8.GetString(text), tokenizer.Decode(ids));
    }

    private static string[] Pieces(SentencePieceTokenizer tokenizer, string text)
        => [.. tokenizer.Encode(text, false, false).Select(tokenizer.Piece)];
}
