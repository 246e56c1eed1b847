using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using ArmCrc32 = System.Runtime.Intrinsics.Arm.Crc32;

namespace Distributed.Engine.Kernels;

/// <summary>The CRC-32 of zip (polynomial 0xEDB88320), at about the speed of memory.</summary>
/// <remarks>
/// On x86 by carry-less multiplication: Gopal, Ozturk, Guilford et al., Fast CRC Computation for Generic Polynomials Using PCLMULQDQ
/// Instruction (Intel, 2009), section 3 with the bit-reflected constants of section 4. A CRC is the remainder of the message as a
/// polynomial over GF(2); a block that lies n bits before the end may be replaced by its product with x^n mod P, which is short, so
/// blocks are folded onto later ones until 128 bits are left, and those are taken into the checksum as ordinary bytes. On ARM64 the
/// instruction set has the whole step.
/// </remarks>
internal static class Crc32
{
    // x^n mod P, bit-reflected and shifted by one, for the n that a fold passes over: low half first.
    private static readonly Vector128<ulong> Fold64 = Vector128.Create(0x0154442BD4UL, 0x01C6E41596UL);   // n = 512 + 32, 512 - 32
    private static readonly Vector128<ulong> Fold16 = Vector128.Create(0x01751997D0UL, 0x00CCAA009EUL);   // n = 128 + 32, 128 - 32

    /// <summary>Takes <paramref name="bytes"/> into a checksum of what came before them; begin with 0.</summary>
    public static uint Append(uint crc, ReadOnlySpan<byte> bytes)
    {
        if (Pclmulqdq.IsSupported && bytes.Length >= 128)
        {
            return AppendFolded(crc, bytes);
        }

        return ArmCrc32.Arm64.IsSupported ? AppendArm(crc, bytes) : Crc32Scalar.Append(crc, bytes);
    }

    private static uint AppendFolded(uint crc, ReadOnlySpan<byte> bytes)
    {
        // Four independent accumulators hide the latency of the multiplication; each is folded onto the vector 64 bytes on.
        var vectors = MemoryMarshal.Cast<byte, Vector128<ulong>>(bytes);
        var a = vectors[0] ^ Vector128.CreateScalar((ulong)~crc);
        var b = vectors[1];
        var c = vectors[2];
        var d = vectors[3];
        var index = 4;
        for (; index + 4 <= vectors.Length; index += 4)
        {
            var next = vectors.Slice(index, 4);
            a = Fold(a, Fold64) ^ next[0];
            b = Fold(b, Fold64) ^ next[1];
            c = Fold(c, Fold64) ^ next[2];
            d = Fold(d, Fold64) ^ next[3];
        }

        a = Fold(a, Fold16) ^ b;
        a = Fold(a, Fold16) ^ c;
        a = Fold(a, Fold16) ^ d;
        for (; index < vectors.Length; index++)
        {
            a = Fold(a, Fold16) ^ vectors[index];
        }

        // The 128 bits stand for everything before the rest, the first checksum included: Append inverts, hence a start of ~0.
        var folded = MemoryMarshal.AsBytes(new ReadOnlySpan<Vector128<ulong>>(in a));
        return Crc32Scalar.Append(Crc32Scalar.Append(uint.MaxValue, folded), bytes[(vectors.Length * 16)..]);
    }

    /// <summary>
    /// Both halves of <paramref name="value"/>, moved on by the number of bits that <paramref name="constants"/> are made for.
    /// </summary>
    private static Vector128<ulong> Fold(Vector128<ulong> value, Vector128<ulong> constants)
        => Pclmulqdq.CarrylessMultiply(value, constants, 0x00) ^ Pclmulqdq.CarrylessMultiply(value, constants, 0x11);

    private static uint AppendArm(uint crc, ReadOnlySpan<byte> bytes)
    {
        crc = ~crc;
        var words = MemoryMarshal.Cast<byte, ulong>(bytes);
        foreach (var word in words)
        {
            crc = ArmCrc32.Arm64.ComputeCrc32(crc, word);
        }

        foreach (var value in bytes[(words.Length * sizeof(ulong))..])
        {
            crc = ArmCrc32.ComputeCrc32(crc, value);
        }

        return ~crc;
    }
}
