using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Distributed.Collectives.Transports.Grpc;

/// <summary>
/// CRC-32C (Castagnoli; RFC 3720, appendix B.4) over a segment's payload, by the processor's instruction where it has one.
/// <para>
/// The instruction takes three cycles and can begin one in each, so three pieces, <em>lanes</em>, are walked at once. A checksum is linear: that of two
/// pieces one after the other is that of the first, moved on by as many zero bytes as the second is long, xor that of the second begun at zero. Moving
/// on is linear too, hence four look-ups, one for each byte. The method is that of zlib's crc32_combine and Mark Adler's crc32c.c.
/// </para>
/// </summary>
internal static class Crc32C
{
    private const int LaneWordCount = 128;

    private static readonly uint[] MovedOn = TableOfMovedOn(); // [byte of the checksum x 256 + its value]

    /// <summary>The checksum of [byte].</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static uint Of(ReadOnlySpan<byte> bytes)
    {
        var crc = uint.MaxValue;
        var words = MemoryMarshal.Cast<byte, ulong>(bytes);
        for (; words.Length >= 3 * LaneWordCount; words = words[(3 * LaneWordCount)..])
        {
            var first = words[..LaneWordCount];
            var second = words.Slice(LaneWordCount, LaneWordCount);
            var third = words.Slice(2 * LaneWordCount, LaneWordCount);
            var (secondCrc, thirdCrc) = (0u, 0u);
            for (var i = 0; i < LaneWordCount; i++)
            {
                crc = BitOperations.Crc32C(crc, first[i]);
                secondCrc = BitOperations.Crc32C(secondCrc, second[i]);
                thirdCrc = BitOperations.Crc32C(thirdCrc, third[i]);
            }

            crc = MoveOn(MoveOn(crc) ^ secondCrc) ^ thirdCrc;
        }

        foreach (var word in words)
        {
            crc = BitOperations.Crc32C(crc, word);
        }

        foreach (var value in bytes[(bytes.Length / sizeof(ulong) * sizeof(ulong))..])
        {
            crc = BitOperations.Crc32C(crc, value);
        }

        return ~crc;
    }

    // By the length of a lane.
    private static uint MoveOn(uint crc)
        => MovedOn[crc & 0xFF] ^ MovedOn[256 + ((crc >> 8) & 0xFF)] ^ MovedOn[512 + ((crc >> 16) & 0xFF)] ^ MovedOn[768 + (crc >> 24)];

    private static uint[] TableOfMovedOn()
    {
        var table = new uint[4 * 256];
        for (var bit = 0; bit < 32; bit++)
        {
            var moved = 1u << bit;
            for (var i = 0; i < LaneWordCount; i++)
            {
                moved = BitOperations.Crc32C(moved, 0UL);
            }

            // Every value that has this bit, by the one without it, which is there already.
            var (start, value) = (bit / 8 * 256, 1 << (bit % 8));
            for (var lower = 0; lower < value; lower++)
            {
                table[start + value + lower] = table[start + lower] ^ moved;
            }
        }

        return table;
    }
}
