namespace Distributed.Collectives.Hosting.Http2;

/// <summary>
/// The Huffman code of header strings (RFC 7541, appendix B). It is canonical: codes of one length are consecutive numbers in the order of their symbols, and
/// the first of the next length follows the last of this one. So the lengths say all.
/// </summary>
internal static class HuffmanCode
{
    private const int EndOfString = 256;
    private const int MaxBitCount = 30;

    // [symbol]: the number of bits of its code; the last is of the end of a string, which never occurs.
    private static ReadOnlySpan<byte> BitCounts =>
    [
        13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28,
        28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
        5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7,
        7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
        15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7,
        7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
        24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21,
        23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
        26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24,
        21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
        26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
    ];

    private static readonly short[] Symbols = [.. Enumerable.Range(0, EndOfString + 1).Select(symbol => (short)symbol).OrderBy(symbol => BitCounts[symbol])]; // by code
    private static readonly (int FirstCode, int Count, int FirstIndex)[] Lengths = CountLengths(); // [number of bits]

    /// <summary>Decodes a string.</summary>
    /// <param name="bytes">The code, with less than a byte of ones after it.</param>
    /// <param name="text">[byte]; has room for 8 / 5 of <paramref name="bytes"/>.</param>
    /// <param name="count">The length of the text.</param>
    /// <returns>Whether the bytes are the code of a string.</returns>
    public static bool TryDecode(ReadOnlySpan<byte> bytes, Span<byte> text, out int count)
    {
        count = 0;
        var (code, bitCount) = (0, 0);
        foreach (var value in bytes)
        {
            for (var bit = 7; bit >= 0; bit--)
            {
                code = (code << 1) | ((value >> bit) & 1);
                bitCount++;
                var (firstCode, symbolCount, firstIndex) = Lengths[bitCount];
                if (code - firstCode >= symbolCount)
                {
                    if (bitCount == MaxBitCount)
                    {
                        return false;
                    }

                    continue;
                }

                var symbol = Symbols[firstIndex + code - firstCode];
                if (symbol == EndOfString)
                {
                    return false;
                }

                text[count++] = (byte)symbol;
                (code, bitCount) = (0, 0);
            }
        }

        return bitCount < 8 && code == (1 << bitCount) - 1;
    }

    private static (int FirstCode, int Count, int FirstIndex)[] CountLengths()
    {
        var lengths = new (int FirstCode, int Count, int FirstIndex)[MaxBitCount + 1];
        var (code, index) = (0, 0);
        for (var bitCount = 1; bitCount <= MaxBitCount; bitCount++)
        {
            code <<= 1;
            var count = BitCounts.Count((byte)bitCount);
            lengths[bitCount] = (code, count, index);
            code += count;
            index += count;
        }

        return lengths;
    }
}
