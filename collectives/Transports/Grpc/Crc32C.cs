using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Distributed.Collectives.Transports.Grpc;

/// <summary>
/// CRC-32C (Castagnoli; RFC 3720, appendix B.4) over a segment's payload, by the processor's instruction where it has one.
/// <para>
/// The instruction takes three cycles and can begin one in each, so three pieces, <em>lanes</em>, are walked at once. A checksum is linear: that of two
/// pieces one after the other is that of the first, moved on by as many zero bytes as the second is long, xor that of the second begun at zero. Moving
/// on is linear too, hence four look-ups, one for each byte. The method is that of zlib's crc32_combine and Mark Adler's crc32c.c.
/// </para>
/// <para>
/// Where the processor multiplies polynomials over vectors of 512 bits, 256 bytes are moved on at once instead: what has been walked stands for a polynomial, of which
/// only the remainder by the checksum's counts, and x^n times it is the product of its halves with the remainders of two powers of x. The method is that of Gopal
/// and others, "Fast CRC Computation for Generic Polynomials Using PCLMULQDQ Instruction" (Intel, 2009).
/// </para>
/// </summary>
internal static class Crc32C
{
    private const int LaneWordCount = 128;
    private const int FoldedByteCount = 256;
    private const uint Polynomial = 0x82F63B78; // with the lowest power in the highest bit

    // For a step of the loop, for a vector, and for a quarter of one.
    private static readonly Vector128<ulong>[] Powers = [PowersOf(8 * FoldedByteCount), PowersOf(512), PowersOf(128)];

    private static readonly uint[] MovedOn = TableOfMovedOn(); // [byte of the checksum x 256 + its value]

    /// <summary>The checksum of [byte].</summary>
    public static uint Of(ReadOnlySpan<byte> bytes)
        => Pclmulqdq.V512.IsSupported && bytes.Length >= FoldedByteCount ? ~OfLanes(OfFolded(ref bytes), bytes) : ~OfLanes(uint.MaxValue, bytes);

    // Takes as many bytes as can be folded, and says the checksum so far.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static uint OfFolded(ref ReadOnlySpan<byte> bytes)
    {
        ref var start = ref Unsafe.As<byte, ulong>(ref MemoryMarshal.GetReference(bytes));
        var first = Vector512.LoadUnsafe(ref start) ^ Vector512.CreateScalar((ulong)uint.MaxValue);
        var second = Vector512.LoadUnsafe(ref start, 8);
        var third = Vector512.LoadUnsafe(ref start, 16);
        var fourth = Vector512.LoadUnsafe(ref start, 24);
        var byAll = Vector512.Create(Powers[0]);
        var count = bytes.Length / FoldedByteCount;
        for (var i = 1; i < count; i++)
        {
            var offset = (nuint)i * (FoldedByteCount / sizeof(ulong));
            first = Fold(first, byAll) ^ Vector512.LoadUnsafe(ref start, offset);
            second = Fold(second, byAll) ^ Vector512.LoadUnsafe(ref start, offset + 8);
            third = Fold(third, byAll) ^ Vector512.LoadUnsafe(ref start, offset + 16);
            fourth = Fold(fourth, byAll) ^ Vector512.LoadUnsafe(ref start, offset + 24);
        }

        bytes = bytes[(count * FoldedByteCount)..];
        var byVector = Vector512.Create(Powers[1]);
        fourth ^= Fold(Fold(Fold(first, byVector) ^ second, byVector) ^ third, byVector);
        var low = fourth.GetLower();
        var high = fourth.GetUpper();
        var last = Fold(Fold(Fold(low.GetLower()) ^ low.GetUpper()) ^ high.GetLower()) ^ high.GetUpper();
        return BitOperations.Crc32C(BitOperations.Crc32C(0, last[0]), last[1]);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<ulong> Fold(Vector512<ulong> value, Vector512<ulong> powers)
        => Pclmulqdq.V512.CarrylessMultiply(value, powers, 0x00) ^ Pclmulqdq.V512.CarrylessMultiply(value, powers, 0x11);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<ulong> Fold(Vector128<ulong> value)
        => Pclmulqdq.CarrylessMultiply(value, Powers[2], 0x00) ^ Pclmulqdq.CarrylessMultiply(value, Powers[2], 0x11);

    // The factors that move 128 bits on by so many: x^(n + 32) for the half that is further on, and x^(n - 32), by the checksum's polynomial; with the lowest power in
    // the highest bit, as the checksum has it, and one further up, as the product of two such halves is one too low.
    private static Vector128<ulong> PowersOf(int bitCount) => Vector128.Create(PowerOf(bitCount + 32), PowerOf(bitCount - 32));

    private static ulong PowerOf(int exponent)
    {
        var power = 1u << 31;
        for (var i = 0; i < exponent; i++)
        {
            power = (power >> 1) ^ ((power & 1) == 0 ? 0 : Polynomial);
        }

        return (ulong)power << 1;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    internal static uint OfLanes(uint crc, ReadOnlySpan<byte> bytes)
    {
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

        return crc;
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
