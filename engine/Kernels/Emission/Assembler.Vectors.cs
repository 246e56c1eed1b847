namespace Distributed.Engine.Kernels.Emission;

/// <summary>How much of a vector register an instruction takes, as EVEX numbers it.</summary>
internal enum VectorLength
{
    Bits128,
    Bits256,
    Bits512,
}

/// <content>
/// The vector instructions, on registers zmm0 to zmm31 by number: EVEX without rounding control. Those of whole vectors of floats are here, with 512 bits where no length is named; those of
/// integers, and of one number in memory for all lanes, are in the next part.
/// </content>
internal sealed partial class Assembler
{
    // The opcode maps and the implied prefixes, as EVEX and VEX number them.
    private const int Map0F = 1;
    private const int Map0F38 = 2;
    private const int Map0F3A = 3;
    private const int PrefixNone = 0;
    private const int Prefix66 = 1;
    private const int PrefixF3 = 2;
    private const int PrefixF2 = 3;

    /// <summary>vdpbf16ps: each lane adds the products of two bfloat16, the odd one first.</summary>
    public void DotBFloat16(int sum, int left, int right) => Evex(Map0F38, PrefixF3, 0, 0x52, sum, left, right);

    /// <inheritdoc cref="DotBFloat16(int, int, int)"/>
    public void DotBFloat16(int sum, int left, Address right) => Evex(Map0F38, PrefixF3, 0, 0x52, sum, left, right);

    /// <summary>vmovups from any address.</summary>
    public void LoadVector(int destination, Address source, VectorLength length = VectorLength.Bits512)
        => Evex(Map0F, PrefixNone, 0, 0x10, destination, 0, source, length);

    /// <summary>vmovups to any address.</summary>
    public void StoreVector(Address destination, int source) => Evex(Map0F, PrefixNone, 0, 0x11, source, 0, destination);

    /// <summary>vmovdqu16 {k1}{z}: elements of 16 bits that the mask k1 names, zeros for the others, whose memory is not touched.</summary>
    public void LoadVectorMasked(int destination, Address source) => Evex(Map0F, PrefixF2, 1, 0x6F, destination, 0, source, maskBits: 0x81);

    /// <summary>kmovd k1 from memory.</summary>
    public void LoadMask(Address source)
    {
        // VEX.L0.66.0F.W1 90 /r
        Bytes(0xC4, (byte)(0x80 | (~Extension(source) << 5 & 0x60) | Map0F), 0xF8 | Prefix66, 0x90);
        Operand(1, source, displacementUnit: 1);
    }

    /// <summary>vpxord of a register with itself: +0 in all lanes.</summary>
    public void Zero(int register) => Evex(Map0F, Prefix66, 0, 0xEF, register, register, register);

    /// <summary>vaddps.</summary>
    public void AddVectors(int destination, int left, int right) => Evex(Map0F, PrefixNone, 0, 0x58, destination, left, right);

    /// <summary>vshuff32x4: two quarters of the left vector, then two of the right, two bits each.</summary>
    public void ShuffleQuarters(int destination, int left, int right, byte choice)
    {
        Evex(Map0F3A, Prefix66, 0, 0x23, destination, left, right);
        Bytes(choice);
    }

    /// <summary>vshufps: in each quarter two lanes of the left vector, then two of the right, two bits each.</summary>
    public void ShuffleLanes(int destination, int left, int right, byte choice)
    {
        Evex(Map0F, PrefixNone, 0, 0xC6, destination, left, right);
        Bytes(choice);
    }

    /// <summary>vzeroupper: what follows may use the older instructions at full speed.</summary>
    public void ZeroUpper() => Bytes(0xC5, 0xF8, 0x77);

    // 62 [R X B R' 0 map] [W vvvv 1 prefix] [z L'L b V' mask] opcode; register numbers are inverted.
    private void Evex(int map, int prefix, int wide, byte opcode, int register, int second, int third)
    {
        Bytes(
            0x62,
            (byte)((~register << 4 & 0x80) | (~third << 2 & 0x40) | (~third << 2 & 0x20) | (~register & 0x10) | map),
            (byte)((wide << 7) | (~second << 3 & 0x78) | 4 | prefix),
            (byte)(((int)VectorLength.Bits512 << 5) | (~second >> 1 & 8)),
            opcode,
            (byte)(0xC0 | ((register & 7) << 3) | (third & 7)));
    }

    // The short form of a displacement counts what the instruction reads: a vector of its length, or other bytes.
    private void Evex(
        int map, int prefix, int wide, byte opcode, int register, int second, Address third, VectorLength length = VectorLength.Bits512, int maskBits = 0, int readByteCount = 0)
    {
        Bytes(
            0x62,
            (byte)((~register << 4 & 0x80) | (~Extension(third) << 5 & 0x60) | (~register & 0x10) | map),
            (byte)((wide << 7) | (~second << 3 & 0x78) | 4 | prefix),
            (byte)(((int)length << 5) | (~second >> 1 & 8) | maskBits),
            opcode);
        Operand(register & 7, third, readByteCount > 0 ? readByteCount : 16 << (int)length);
    }
}
