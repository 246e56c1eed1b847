using System.Text;
using Distributed.Collectives.Transports.Grpc;

namespace Distributed.Collectives.Tests;

/// <summary>The checksum of segments, against its definition.</summary>
public sealed class Crc32CTests
{
    [Fact]
    public void Of_TheCheckString_IsTheValueOfTheStandard() => Assert.Equal(0xE3069283u, Crc32C.Of(Encoding.ASCII.GetBytes("123456789")));

    [Fact]
    public void Of_AnyLength_IsTheRemainderBitByBit()
    {
        // Around the lengths at which words, lanes and several rounds of lanes begin.
        var bytes = new byte[65_536];
        new Random(5).NextBytes(bytes);
        foreach (var length in new[] { 0, 1, 7, 8, 9, 255, 256, 257, 511, 512, 519, 1023, 1024, 3071, 3072, 3073, 3080, 6143, 6144, 6151, 65_535, 65_536 })
        {
            Assert.Equal(BitByBit(bytes.AsSpan(0, length)), Crc32C.Of(bytes.AsSpan(0, length)));
            Assert.Equal(BitByBit(bytes.AsSpan(0, length)), ~Crc32C.OfLanes(uint.MaxValue, bytes.AsSpan(0, length))); // where the processor has no more
        }

        Assert.Equal(BitByBit(bytes.AsSpan(3, 10_001)), Crc32C.Of(bytes.AsSpan(3, 10_001))); // not aligned
    }

    private static uint BitByBit(ReadOnlySpan<byte> bytes)
    {
        const uint Reversed = 0x82F63B78; // the polynomial 0x1EDC6F41, lowest power first
        var crc = uint.MaxValue;
        foreach (var value in bytes)
        {
            crc ^= value;
            for (var bit = 0; bit < 8; bit++)
            {
                crc = (crc & 1) == 0 ? crc >> 1 : (crc >> 1) ^ Reversed;
            }
        }

        return ~crc;
    }
}
