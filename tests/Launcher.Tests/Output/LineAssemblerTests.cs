using System.Buffers;
using System.Text;
using Distributed.Launcher.Output;

namespace Distributed.Launcher.Tests.Output;

public sealed class LineAssemblerTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    [InlineData(1000)]
    public void Append_AnyPieces_GivesTheSameLines(int pieceByteCount)
        => Assert.Equal("> a\n> \n> bc d\r\n> é😀\n> end\n", Assemble("a\n\nbc d\r\né😀\nend", pieceByteCount));

    [Theory]
    [InlineData(LineAssembler.MaxLineByteCount, new[] { LineAssembler.MaxLineByteCount })]
    [InlineData(LineAssembler.MaxLineByteCount + 1, new[] { LineAssembler.MaxLineByteCount, 1 })]
    [InlineData((2 * LineAssembler.MaxLineByteCount) + 5, new[] { LineAssembler.MaxLineByteCount, LineAssembler.MaxLineByteCount, 5 })]
    public void Append_LongLine_IsCutAtTheLimit(int length, int[] expected)
    {
        foreach (var piece in new[] { 1000, 32 * 1024, 1 << 20 })
        {
            var lines = Assemble(new string('x', length) + "\ny", piece).Split('\n', StringSplitOptions.RemoveEmptyEntries);
            Assert.Equal([.. expected, 1], lines.Select(line => line.Length - 2));
        }
    }

    [Fact]
    public void End_NothingOpen_AddsNothing() => Assert.Equal("> a\n", Assemble("a\n", 10));

    private static string Assemble(string text, int pieceByteCount)
    {
        var assembler = new LineAssembler("> "u8.ToArray());
        var lines = new ArrayBufferWriter<byte>();
        foreach (var piece in Encoding.UTF8.GetBytes(text).Chunk(pieceByteCount))
        {
            assembler.Append(piece, lines);
        }

        assembler.End(lines);
        return Encoding.UTF8.GetString(lines.WrittenSpan);
    }
}
