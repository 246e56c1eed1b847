using Distributed.Engine.Checkpoints;

namespace Distributed.Engine.Tests.Checkpoints;

public sealed class LargePageWriterTests
{
    private const int Piece = LargePageWriter.PieceByteCount;

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(Piece - 1)]
    [InlineData(Piece)]
    [InlineData((2 * Piece) + 12345)]
    public void Append_BytesOfAnySizes_FileHasThemInOrder(int byteCount)
    {
        var expected = new byte[byteCount];
        new Random(1).NextBytes(expected);

        var actual = Write(file =>
        {
            var sizes = new Random(2);
            for (var done = 0; done < byteCount;)
            {
                var count = Math.Min(byteCount - done, sizes.Next(3) switch { 0 => 7, 1 => 1 << 20, _ => Piece + 3 });
                file.Append(expected.AsSpan(done, count));
                done += count;
                Assert.Equal(done, file.Position);
            }
        });

        Assert.True(expected.AsSpan().SequenceEqual(actual));
    }

    [Fact]
    public void Append_ZerosBetweenAndLast_FileIsAsLongAsAll()
    {
        var actual = Write(file =>
        {
            file.Append([1]);
            file.Append(new byte[3 * Piece]);
            file.Append([2]);
            file.Append(new byte[2 * Piece]);
        });

        Assert.Equal((5 * Piece) + 2, actual.Length);
        Assert.Equal(1, actual[0]);
        Assert.Equal(2, actual[(3 * Piece) + 1]);
        Assert.Equal(2, actual.Count(value => value != 0));
    }

    [Theory]
    [InlineData(5)] // written
    [InlineData(Piece - 2)] // half of it
    [InlineData(Piece)] // none of it
    public void Replace_BytesBeforeThePosition_FileHasTheNewOnes(int position)
    {
        var expected = new byte[Piece + 100];
        new Random(3).NextBytes(expected);
        byte[] replacement = [1, 2, 3, 4];

        var actual = Write(file =>
        {
            file.Append(expected);
            file.Replace(position, replacement);
            Assert.Throws<ArgumentOutOfRangeException>(() => file.Replace(file.Position - 3, replacement));
        });

        replacement.CopyTo(expected, position);
        Assert.True(expected.AsSpan().SequenceEqual(actual));
    }

    private static byte[] Write(Action<LargePageWriter> write)
    {
        var path = Path.Combine(Path.GetTempPath(), Path.GetRandomFileName());
        try
        {
            LargePageWriter.Write(path, write);
            return File.ReadAllBytes(path);
        }
        finally
        {
            File.Delete(path);
        }
    }
}
