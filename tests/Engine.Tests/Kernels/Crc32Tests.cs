using Distributed.Engine.Kernels;

namespace Distributed.Engine.Tests.Kernels;

public sealed class Crc32Tests
{
    /// <summary>The check values of the catalogue of CRC algorithms (CRC-32/ISO-HDLC), and a zip's of nothing.</summary>
    [Theory]
    [InlineData("", 0x00000000u)]
    [InlineData("123456789", 0xCBF43926u)]
    [InlineData("The quick brown fox jumps over the lazy dog", 0x414FA339u)]
    public void Append_KnownTexts_GivesKnownChecksums(string text, uint expected)
    {
        var bytes = System.Text.Encoding.ASCII.GetBytes(text);

        Assert.Equal(expected, Crc32Scalar.Append(0, bytes));
        Assert.Equal(expected, Crc32.Append(0, bytes));
    }

    /// <summary>The oracle of the oracle: one bit at a time, by the definition.</summary>
    [Fact]
    public void ScalarAppend_RandomBytes_EqualsDivisionBitByBit()
    {
        var random = new Random(1);
        for (var length = 0; length < 80; length++)
        {
            var bytes = new byte[length];
            random.NextBytes(bytes);
            var remainder = uint.MaxValue;
            foreach (var value in bytes)
            {
                remainder ^= value;
                for (var bit = 0; bit < 8; bit++)
                {
                    remainder = (remainder >> 1) ^ ((remainder & 1) * 0xEDB88320);
                }
            }

            Assert.Equal(~remainder, Crc32Scalar.Append(0, bytes));
        }
    }

    /// <summary>Every length around the widths of the folding loops, at every alignment, from any start.</summary>
    [Fact]
    public void Append_AllLengthsAndAlignments_EqualsScalar()
    {
        var random = new Random(2);
        var bytes = new byte[1100];
        random.NextBytes(bytes);
        for (var length = 0; length <= 1024; length++)
        {
            var part = bytes.AsSpan(length % 64, length);
            var start = length % 3 == 0 ? 0 : (uint)random.NextInt64(uint.MaxValue);

            Assert.Equal(Crc32Scalar.Append(start, part), Crc32.Append(start, part));
        }
    }

    [Fact]
    public void Append_InParts_EqualsAppendAtOnce()
    {
        var bytes = new byte[100_000];
        new Random(3).NextBytes(bytes);
        var whole = Crc32.Append(0, bytes);

        Assert.Equal(Crc32Scalar.Append(0, bytes), whole);
        for (var cut = 0; cut < bytes.Length; cut += 777)
        {
            Assert.Equal(whole, Crc32.Append(Crc32.Append(0, bytes.AsSpan(0, cut)), bytes.AsSpan(cut)));
        }
    }

    [Fact]
    public void Append_OneBitFlipped_ChangesTheChecksum()
    {
        var bytes = new byte[300];
        var whole = Crc32.Append(0, bytes);
        for (var bit = 0; bit < bytes.Length * 8; bit++)
        {
            bytes[bit / 8] ^= (byte)(1 << (bit % 8));
            Assert.NotEqual(whole, Crc32.Append(0, bytes));
            bytes[bit / 8] ^= (byte)(1 << (bit % 8));
        }
    }
}
