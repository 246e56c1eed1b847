using System.Text;
using Distributed.Engine.Tokenizers;

namespace Distributed.Engine.Tests.Constraints;

/// <summary>A vocabulary of given pieces, which need not be whole characters; id 0 is special and says nothing.</summary>
internal sealed class PieceTokenizer(IEnumerable<byte[]> pieces) : Tokenizer
{
    private readonly byte[][] _pieces = [[], .. pieces];

    /// <summary>All bytes, then pieces that JSON and words are made of: borders of every kind lie within some of them.</summary>
    public static PieceTokenizer Json { get; } = new([.. Bytes, .. JsonPieces.Select(Encoding.UTF8.GetBytes), [.. "\u00e9"u8[..1]], [.. "a\u20ac"u8[..3]], [.. "\u20ac\""u8[1..]]]);

    public static IEnumerable<byte[]> Bytes => Enumerable.Range(0, 256).Select(value => new[] { (byte)value });

    public override string Kind => "pieces";

    public override int VocabularySize => _pieces.Length;

    public override int BosId => -1;

    public override int EosId => 0;

    private static string[] JsonPieces =>
    [
        "{\"", "\":", "\": ", "\":\"", "\",\"", "\", \"", "\"}", "}}", "]]", "[[", "[{", "{}", "[]", "},{", "}]", "\"]", ":[", ",\n", "{\n  \"", "\n  ", "    ", " {", " \"", "true",
        "false,", "null", "12", "0.", "e+", "-1", "\\u", "\\\"", "\\n", "\\u00", "d8", "\\ud83d\\ude00", "name", "na", "me\"", "age", "the ", "hello", "\u00e9", "\u20ac", "\ud83d\ude00",
        "2024-", "-0", "0123456789", "tr", "ue", "\":{", "\":[", "\"x\":", "\"name\": ", "<s>", "\\\\",
    ];

    public override int[] Encode(string text, bool bos, bool eos) => throw new NotSupportedException();

    public override string Piece(int id) => Encoding.UTF8.GetString(_pieces[id]);

    public override int SpecialId(string token) => -1;

    internal override ReadOnlySpan<byte> BytesOf(int id) => _pieces[id];

    internal override string TextOf(int id, bool atStart, out bool startConsumed)
    {
        startConsumed = false;
        return "";
    }
}
