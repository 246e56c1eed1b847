namespace Distributed.Engine.Kernels.Emission;

/// <content>Instructions of integers, and those that read one number of 32 bits from memory for all lanes.</content>
internal sealed partial class Assembler
{
    private const int BroadcastBit = 0x10;

    /// <summary>vpdpbusd: each lane adds the products of its four unsigned bytes with four signed ones, the same in all lanes.</summary>
    public void DotBytes(int sum, int left, Address four) => EvexBroadcast(Map0F38, Prefix66, 0x50, sum, left, four);

    /// <summary>vpxord.</summary>
    public void ExclusiveOr(int destination, int left, int right) => Evex(Map0F, Prefix66, 0, 0xEF, destination, left, right);

    /// <summary>vpandd.</summary>
    public void And(int destination, int left, int right) => Evex(Map0F, Prefix66, 0, 0xDB, destination, left, right);

    /// <summary>vpsrlw: each 16 bits to the right.</summary>
    public void ShiftRight16(int destination, int source, byte count)
    {
        Evex(Map0F, Prefix66, 0, 0x71, 2, destination, source);
        Bytes(count);
    }

    /// <summary>vpslld: each 32 bits to the left.</summary>
    public void ShiftLeft32(int destination, int source, byte count)
    {
        Evex(Map0F, Prefix66, 0, 0x72, 6, destination, source);
        Bytes(count);
    }

    /// <summary>vpslld of one number, for all lanes.</summary>
    public void ShiftLeft32(int destination, Address one, byte count)
    {
        EvexBroadcast(Map0F, Prefix66, 0x72, 6, destination, one);
        Bytes(count);
    }

    /// <summary>vpbroadcastd: one number, for all lanes.</summary>
    public void Broadcast(int destination, Address one) => Evex(Map0F38, Prefix66, 0, 0x58, destination, 0, one, readByteCount: sizeof(int));

    /// <summary>vinserti64x4: 256 bits from memory above a vector's lower 256.</summary>
    public void InsertUpper256(int vector, Address upper)
    {
        Evex(Map0F3A, Prefix66, 1, 0x3A, vector, vector, upper, readByteCount: 32);
        Bytes(1);
    }

    /// <summary>vinserti32x4: 128 bits from memory above a vector's lower 128.</summary>
    public void InsertUpper128(int vector, Address upper)
    {
        Evex(Map0F3A, Prefix66, 0, 0x38, vector, vector, upper, VectorLength.Bits256, readByteCount: 16);
        Bytes(1);
    }

    /// <summary>vpmovzxwd: 16 bits become 32.</summary>
    public void Widen16(int destination, int source) => Evex(Map0F38, Prefix66, 0, 0x33, destination, 0, source);

    /// <summary>vcvtdq2ps: whole numbers of 32 bits become floats.</summary>
    public void ConvertToSingle(int destination, int source) => Evex(Map0F, PrefixNone, 0, 0x5B, destination, 0, source);

    /// <summary>vmulps by one float, for all lanes.</summary>
    public void Multiply(int destination, int left, Address one) => EvexBroadcast(Map0F, PrefixNone, 0x59, destination, left, one);

    /// <summary>vfmadd231ps: adds left x right to the sum, rounded once.</summary>
    public void MultiplyAdd(int sum, int left, int right) => Evex(Map0F38, Prefix66, 0, 0xB8, sum, left, right);

    private void EvexBroadcast(int map, int prefix, byte opcode, int register, int second, Address one)
        => Evex(map, prefix, 0, opcode, register, second, one, maskBits: BroadcastBit, readByteCount: sizeof(int));
}
