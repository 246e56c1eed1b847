using System.Buffers.Binary;

namespace Distributed.Engine.Kernels;

/// <summary>
/// CRC-32 eight bytes at a time from eight tables ("slicing by 8": Kounavis and Berry, A Systematic Approach to Building High Performance
/// Software-based CRC Generators, ISCC 2005). The fallback of <see cref="Crc32"/> and its reference in tests.
/// </summary>
internal static class Crc32Scalar
{
    /// <summary>x^32 + x^26 + ... + 1, without x^32 and with the bits reversed, as zip, gzip and Ethernet have it.</summary>
    private const uint Polynomial = 0xEDB88320;

    // [8 * 256]: entry 256 s + b is the remainder of byte b followed by s zero bytes.
    private static readonly uint[] Tables = MakeTables();

    /// <summary>Takes <paramref name="bytes"/> into a checksum of what came before them; begin with 0.</summary>
    public static uint Append(uint crc, ReadOnlySpan<byte> bytes)
    {
        var tables = Tables;
        crc = ~crc;
        for (; bytes.Length >= 8; bytes = bytes[8..])
        {
            var low = BinaryPrimitives.ReadUInt32LittleEndian(bytes) ^ crc;
            var high = BinaryPrimitives.ReadUInt32LittleEndian(bytes[4..]);
            crc = tables[(7 * 256) + (byte)low] ^ tables[(6 * 256) + (byte)(low >> 8)]
                ^ tables[(5 * 256) + (byte)(low >> 16)] ^ tables[(4 * 256) + (low >> 24)]
                ^ tables[(3 * 256) + (byte)high] ^ tables[(2 * 256) + (byte)(high >> 8)]
                ^ tables[256 + (byte)(high >> 16)] ^ tables[high >> 24];
        }

        foreach (var value in bytes)
        {
            crc = tables[(byte)crc ^ value] ^ (crc >> 8);
        }

        return ~crc;
    }

    private static uint[] MakeTables()
    {
        var tables = new uint[8 * 256];
        for (uint value = 0; value < 256; value++)
        {
            var remainder = value;
            for (var bit = 0; bit < 8; bit++)
            {
                remainder = (remainder & 1) != 0 ? (remainder >> 1) ^ Polynomial : remainder >> 1;
            }

            tables[value] = remainder;
        }

        for (var index = 256; index < tables.Length; index++)
        {
            var shorter = tables[index - 256];
            tables[index] = (shorter >> 8) ^ tables[(byte)shorter];
        }

        return tables;
    }
}
