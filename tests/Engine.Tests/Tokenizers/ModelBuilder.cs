using System.Text;
using Distributed.Engine.Tokenizers;
using Google.Protobuf;

namespace Distributed.Engine.Tests.Tokenizers;

/// <summary>Writes SentencePiece models of a few pieces, field by field.</summary>
internal sealed class ModelBuilder
{
    private readonly MemoryStream _bytes = new();

    public static ModelBuilder Bpe(
        bool byteFallback = false, bool addDummyPrefix = true, bool removeExtraWhitespaces = false, int withoutByte = -1)
        => OfType(2, byteFallback, addDummyPrefix, removeExtraWhitespaces, withoutByte);

    public static ModelBuilder Unigram(bool byteFallback = false)
        => OfType(1, byteFallback, addDummyPrefix: false, removeExtraWhitespaces: false, withoutByte: -1);

    private static ModelBuilder OfType(int type, bool byteFallback, bool addDummyPrefix, bool removeExtraWhitespaces, int withoutByte)
    {
        var model = new ModelBuilder()
            .Piece("<unk>", 0, PieceKind.Unknown).Piece("<s>", 0, PieceKind.Control).Piece("</s>", 0, PieceKind.Control);
        for (var value = 0; byteFallback && value < 256; value++)
        {
            model = value == withoutByte ? model : model.Piece($"<0x{value:X2}>", 0, PieceKind.Byte);
        }

        return model
            .Message(2, trainer =>
            {
                Varint(trainer, 3, type);
                Varint(trainer, 35, byteFallback ? 1 : 0);
            })
            .Message(3, normalizer =>
            {
                Varint(normalizer, 3, addDummyPrefix ? 1 : 0);
                Varint(normalizer, 4, removeExtraWhitespaces ? 1 : 0);
            });
    }

    public static void Varint(CodedOutputStream output, int field, long value)
    {
        output.WriteTag(field, WireFormat.WireType.Varint);
        output.WriteInt64(value);
    }

    public static void Bytes(CodedOutputStream output, int field, byte[] value)
    {
        output.WriteTag(field, WireFormat.WireType.LengthDelimited);
        output.WriteBytes(ByteString.CopyFrom(value));
    }

    public ModelBuilder Piece(string text, float score, PieceKind kind = PieceKind.Normal)
        => Piece(Encoding.UTF8.GetBytes(text), score, (int)kind);

    /// <summary>A piece of low score for each character.</summary>
    public ModelBuilder Characters(string characters)
        => characters.Aggregate(this, (model, character) => model.Piece(character.ToString(), -9));

    public ModelBuilder Piece(byte[] text, float score, int kind) => Message(1, piece =>
    {
        Bytes(piece, 1, text);
        piece.WriteTag(2, WireFormat.WireType.Fixed32);
        piece.WriteFloat(score);
        Varint(piece, 3, kind);
    });

    public ModelBuilder Message(int field, Action<CodedOutputStream> write)
    {
        var message = new MemoryStream();
        using (var output = new CodedOutputStream(message, leaveOpen: true))
        {
            write(output);
        }

        using var outer = new CodedOutputStream(_bytes, leaveOpen: true);
        Bytes(outer, field, message.ToArray());
        return this;
    }

    public ModelBuilder Raw(params byte[] bytes)
    {
        _bytes.Write(bytes);
        return this;
    }

    public byte[] ToArray() => _bytes.ToArray();

    public SentencePieceTokenizer Build() => SentencePieceTokenizer.Create(SentencePieceModel.Parse(ToArray(), "tokenizer.model"));
}
