using System.Buffers.Binary;
using System.Text;
using Distributed.Engine.Tokenizers;

namespace Distributed.Engine.Tests.Tokenizers;

/// <summary>Files that are no Llama tokenizer, by accident or on purpose: one sentence each.</summary>
public sealed class SentencePieceModelTests
{
    [Fact]
    public void Load_MissingFile_IsNamed()
    {
        var error = Assert.Throws<TokenizerFormatException>(() => SentencePieceTokenizer.Load("/nowhere/tokenizer.model"));

        Assert.Equal(
            "The tokenizer /nowhere/tokenizer.model does not exist; give the checkpoint's tokenizer.model with --tokenizer-path.",
            error.Message);
        Assert.Throws<TokenizerFormatException>(() => SentencePieceTokenizer.Load(Repository.Root));
    }

    [Theory]
    [InlineData("", "has no pieces")]
    [InlineData("version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer")]
    [InlineData("IQ== 0\nIg== 1\n", "is a vocabulary of tiktoken (Llama 3)")]
    [InlineData("{\"version\": \"1.0\"}", "is a JSON file")]
    [InlineData("this is no protobuf", "is damaged or no SentencePiece model")]
    public void Parse_OtherFiles_AreNamed(string content, string expected) => Refused(Encoding.ASCII.GetBytes(content), expected);

    [Theory]
    [InlineData(3, "type word")]
    [InlineData(4, "type char")]
    [InlineData(77, "type 77")]
    public void Parse_OtherModelTypes_AreNamed(int type, string expected)
        => Refused(ModelBuilder.Bpe().Message(2, trainer => ModelBuilder.Varint(trainer, 3, type)).ToArray(), expected);

    [Fact]
    public void Parse_TrainerWithoutAType_IsUnigramByDefault()
        => Assert.Equal("SentencePiece unigram", ModelBuilder.Bpe().Message(2, _ => { }).Build().Kind);

    [Theory]
    [InlineData(2, 24, "treat_whitespace_as_suffix")]
    [InlineData(3, 5, "escape_whitespaces false")]
    public void Parse_SwitchesThatNoLlamaHas_AreNamed(int message, int field, string expected)
        => Refused(ModelBuilder.Bpe().Message(message, spec => ModelBuilder.Varint(spec, field, field == 24 ? 1 : 0)).ToArray(), expected);

    [Theory]
    [InlineData(3, "has a damaged precompiled_charsmap")]
    [InlineData(5, "uses a denormalizer")]
    public void Parse_CharacterMaps_AreNamed(int message, string expected)
        => Refused(ModelBuilder.Bpe().Message(message, spec => ModelBuilder.Bytes(spec, 2, [1, 2, 3])).ToArray(), expected);

    /// <summary>
    /// As many pieces as a model may have, of all kinds, take at most 64 MiB and four times the file, garbage included: for merging, for Viterbi, and where all are user-defined and long.
    /// </summary>
    [Theory]
    [InlineData(2, false, 1)]
    [InlineData(1, false, 1)]
    [InlineData(2, true, 1)]
    [InlineData(1, true, 4)]
    public void Create_AMillionPieces_TakesBoundedMemory(int type, bool areUserDefined, int wordCount)
    {
        using var file = new MemoryStream();
        file.Write(type == 2 ? ModelBuilder.Bpe().ToArray() : ModelBuilder.Unigram().ToArray());
        Span<byte> piece = stackalloc byte[128];
        for (var number = 3; number < 1 << 20; number++)
        {
            // Field 1, a message: its text, its score and its kind.
            var text = $"\u2581{string.Concat(Enumerable.Repeat(number.ToString("X6"), wordCount))}";
            var length = Encoding.UTF8.GetBytes(text, piece[4..]);
            piece[0] = (1 << 3) | 2;
            piece[1] = (byte)(length + 2 + 5 + 2);
            piece[2] = (1 << 3) | 2;
            piece[3] = (byte)length;
            piece[4 + length] = (2 << 3) | 5;
            BinaryPrimitives.WriteSingleLittleEndian(piece[(5 + length)..], -number);
            piece[9 + length] = 3 << 3;
            piece[10 + length] = (byte)(areUserDefined ? PieceKind.UserDefined : PieceKind.Normal);
            file.Write(piece[..(11 + length)]);
        }

        var bytes = file.ToArray();
        var before = GC.GetAllocatedBytesForCurrentThread();
        var tokenizer = SentencePieceTokenizer.Create(SentencePieceModel.Parse(bytes, "tokenizer.model"));
        var allocated = GC.GetAllocatedBytesForCurrentThread() - before;

        Assert.Equal(1 << 20, tokenizer.VocabularySize);
        Assert.InRange(allocated + bytes.Length, 0, (64L << 20) + (4L * bytes.Length)); // reading the file allocates its bytes
    }

    [Fact]
    public void Parse_UnfitPieces_AreRefused()
    {
        (ModelBuilder Model, string Expected)[] models =
        [
            (ModelBuilder.Bpe().Piece("", 0), "has a damaged piece 3 (0 bytes"),
            (ModelBuilder.Bpe().Piece(new string('x', 1025), 0), "has a damaged piece 3 (1025 bytes"),
            (ModelBuilder.Bpe().Piece([0xC3, 0x28], 0, 1), "has a damaged piece 3"),
            (ModelBuilder.Bpe().Piece("a", float.NaN), "has a damaged piece 3"),
            (ModelBuilder.Bpe().Piece("a", float.PositiveInfinity), "has a damaged piece 3"),
            (ModelBuilder.Bpe().Piece("a"u8.ToArray(), 0, 0), "has a damaged piece 3"),
            (ModelBuilder.Bpe().Piece("a"u8.ToArray(), 0, 7), "has a damaged piece 3"),
            (ModelBuilder.Bpe().Piece("a"u8.ToArray(), 0, -1), "has a damaged piece 3"),
            (ModelBuilder.Bpe().Piece("a", 0).Piece("a", -1), "has piece 4 twice"),
            (ModelBuilder.Bpe().Piece("<s>", 0, PieceKind.Control), "has piece 3 twice"),
            (ModelBuilder.Bpe().Piece("<?>", 0, PieceKind.Unknown), "has two unknown pieces"),
            (ModelBuilder.Bpe().Piece("<0x00>", 0, PieceKind.Byte), "has a byte piece 3 that is not"),
            (ModelBuilder.Bpe(byteFallback: true).Piece("<0xGG>", 0, PieceKind.Byte), "has a byte piece 259 that is not"),
            (ModelBuilder.Bpe(byteFallback: true).Piece("<0xff>", 0, PieceKind.Byte), "has a byte piece 259 that is not"),
            (ModelBuilder.Bpe(byteFallback: true, withoutByte: 0x7F), "some of the 256 byte pieces"),
            (new ModelBuilder().Piece("a", 0), "lacks the unknown piece"),
            (new ModelBuilder().Piece("<unk>", 0, PieceKind.Unknown).Piece("<s>", 0, PieceKind.Control), "lacks the control pieces"),
            (new ModelBuilder().Piece("<unk>", 0, PieceKind.Unknown).Piece("<s>", 0).Piece("</s>", 0), "lacks the control pieces"),
        ];
        foreach (var (model, expected) in models)
        {
            Refused(model.ToArray(), expected);
        }
    }

    [Fact]
    public void Parse_NamesOfControlPieces_AreTheModels()
    {
        var tokenizer = new ModelBuilder()
            .Piece("<pad>", 0, PieceKind.Control).Piece("<none>", 0, PieceKind.Unknown)
            .Piece("[B]", 0, PieceKind.Control).Piece("[E]", 0, PieceKind.Control)
            .Message(2, trainer =>
            {
                ModelBuilder.Varint(trainer, 3, 2);
                ModelBuilder.Varint(trainer, 43, -1);
                ModelBuilder.Bytes(trainer, 44, "?"u8.ToArray());
                ModelBuilder.Bytes(trainer, 46, "[B]"u8.ToArray());
                ModelBuilder.Bytes(trainer, 47, "[E]"u8.ToArray());
            })
            .Build();

        Assert.Equal((2, 3, 0, 1), (tokenizer.BosId, tokenizer.EosId, tokenizer.PadId, tokenizer.UnknownId));
        Assert.Equal("?", tokenizer.Decode([2, 1, 3]));
    }

    [Fact]
    public void Parse_UnknownFields_ArePassedOver()
    {
        var model = ModelBuilder.Bpe().Piece("a", -1)
            .Raw((200 << 3 & 0x7F) | 0x80, 200 << 3 >> 7, 7)      // field 200, varint
            .Raw((1 << 3) | 0, 5)                                  // field 1 as a varint: not a piece
            .Message(99, _ => { });

        Assert.Equal(4, model.Build().VocabularySize);
    }

    [Fact]
    public void Parse_LengthsThatLie_AreRefused()
    {
        byte[][] lengths =
        [
            [1], [0x7F],
            [0xFF, 0xFF, 0xFF, 0xFF, 0x07],                                            // 2^31 - 1
            [0xFF, 0xFF, 0xFF, 0xFF, 0x0F],                                            // 2^32 - 1
            [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01],              // -1
            [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF],        // no end
        ];
        foreach (var tag in new byte[] { 0x0A, 0x12, 0x1A, 0x2A, 0x32 })
        {
            foreach (var length in lengths)
            {
                Refused(ModelBuilder.Bpe().Raw(tag).Raw(length).ToArray(), "is damaged or no SentencePiece model");
            }
        }

        byte[] groupsInGroups = [.. Enumerable.Repeat((byte)0x33, 100_000)];
        Refused(ModelBuilder.Bpe().Raw(groupsInGroups).ToArray(), "is damaged or no SentencePiece model");
    }

    /// <summary>The demo's model with bytes changed or cut off: a tokenizer, or one sentence, and nothing else.</summary>
    [Fact]
    public void Parse_DamagedModel_IsReadOrRefused()
    {
        var intact = File.ReadAllBytes(Path.Combine(Repository.DemoCheckpoint, "tokenizer.model"));
        var random = new Random(8);
        var refused = 0;
        for (var number = 0; number < 600; number++)
        {
            var bytes = number % 3 == 0 ? intact[..random.Next(intact.Length)] : intact.ToArray();
            for (var count = number % 3 * 2; count > 0; count--)
            {
                bytes[random.Next(bytes.Length)] = (byte)random.Next(256);
            }

            var before = GC.GetAllocatedBytesForCurrentThread();
            try
            {
                var tokenizer = SentencePieceTokenizer.Create(SentencePieceModel.Parse(bytes, "tokenizer.model"));
                tokenizer.Decode(tokenizer.Encode("A text of some words, \u00E9.", bos: true, eos: true));
            }
            catch (TokenizerFormatException error)
            {
                Assert.EndsWith(".", error.Message, StringComparison.Ordinal);
                refused++;
            }

            Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 64L << 20);
        }

        Assert.InRange(refused, 100, 599);
    }

    private static void Refused(byte[] model, string expected)
    {
        var error = Assert.Throws<TokenizerFormatException>(
            () => SentencePieceTokenizer.Create(SentencePieceModel.Parse(model, "tokenizer.model")));

        Assert.StartsWith("The tokenizer tokenizer.model ", error.Message, StringComparison.Ordinal);
        Assert.EndsWith(".", error.Message, StringComparison.Ordinal);
        Assert.Contains(expected, error.Message, StringComparison.Ordinal);
    }
}
