namespace Distributed.Engine.Kernels.Emission;

/// <summary>The general registers, by their numbers in the machine's code.</summary>
internal enum Register
{
    Rax,
    Rcx,
    Rdx,
    Rbx,
    Rsp,
    Rbp,
    Rsi,
    Rdi,
    R8,
    R9,
    R10,
    R11,
}

/// <summary>A place in memory: Base + Index x Scale + Displacement.</summary>
/// <param name="Base">Any register.</param>
/// <param name="Index">Any but rsp; <see langword="null"/> for none.</param>
/// <param name="Scale">1, 2, 4 or 8.</param>
/// <param name="Displacement">Bytes.</param>
internal readonly record struct Address(Register Base, Register? Index = null, int Scale = 1, int Displacement = 0);

/// <summary>
/// Writes x86-64 machine code: the general instructions of a loop. The vector instructions are in the other part. Encodings are those of Intel's manual, volume 2; a test
/// holds each against the bytes that GNU as makes of it.
/// </summary>
internal sealed partial class Assembler
{
    private readonly List<byte> _code = [];
    private readonly List<(int Place, Label Target)> _jumps = [];

    /// <summary>What has been written; every label that was jumped to must have been placed.</summary>
    public byte[] ToArray()
    {
        var code = _code.ToArray();
        foreach (var (place, target) in _jumps)
        {
            BitConverter.TryWriteBytes(code.AsSpan(place), target.Position - (place + sizeof(int)));
        }

        return code;
    }

    /// <summary>Bytes written so far.</summary>
    public int Length => _code.Count;

    /// <summary>Fills up with one-byte no-operations, so that what follows begins at a multiple.</summary>
    public void Align(int byteCount)
    {
        while (_code.Count % byteCount != 0)
        {
            Bytes(0x90);
        }
    }

    /// <summary>A place to jump to, here or later.</summary>
    public void Place(Label label) => label.Position = _code.Count;

    public void Push(Register register) => Bytes((byte)(0x50 + (int)register)); // rax to rdi

    public void Pop(Register register) => Bytes((byte)(0x58 + (int)register));

    public void Return() => Bytes(0xC3);

    public void Move(Register destination, Register source) => General(0x89, source, destination);

    public void Load(Register destination, Address source) => General(0x8B, destination, source);

    public void Store(Address destination, Register source) => General(0x89, source, destination);

    public void LoadAddress(Register destination, Address source) => General(0x8D, destination, source);

    public void Add(Register destination, Register source) => General(0x01, source, destination);

    public void Add(Register destination, Address source) => General(0x03, destination, source);

    public void Add(Register destination, int value)
    {
        if (value is >= sbyte.MinValue and <= sbyte.MaxValue)
        {
            General(0x83, (Register)0, destination);
            Bytes((byte)value);
            return;
        }

        General(0x81, (Register)0, destination);
        _code.AddRange(BitConverter.GetBytes(value));
    }

    public void Decrement(Register register) => General(0xFF, (Register)1, register);

    public void Decrement(Address place) => General(0xFF, (Register)1, place);

    /// <summary>Compares with zero.</summary>
    public void Test(Register register) => General(0x85, register, register);

    /// <summary>Compares with a number.</summary>
    public void Compare(Address place, sbyte value)
    {
        General(0x83, (Register)7, place);
        Bytes((byte)value);
    }

    /// <summary>Jumps where the last result was zero, or what was compared equal.</summary>
    public void JumpIfZero(Label target) => Jump(target, 0x0F, 0x84);

    /// <summary>Jumps where it was not.</summary>
    public void JumpIfNotZero(Label target) => Jump(target, 0x0F, 0x85);

    public void Jump(Label target) => Jump(target, 0xE9);

    /// <summary>Asks for a cache line in the second level; the place need not be mapped.</summary>
    public void PrefetchToLevel2(Address place)
    {
        var rex = 0x40 | Extension(place);
        if (rex != 0x40)
        {
            Bytes((byte)rex);
        }

        Bytes(0x0F, 0x18);
        Operand(2, place, displacementUnit: 1);
    }

    // REX.W opcode /r between registers.
    private void General(byte opcode, Register register, Register other)
        => Bytes((byte)(0x48 | ((int)register >> 3 << 2) | ((int)other >> 3)), opcode, (byte)(0xC0 | (((int)register & 7) << 3) | ((int)other & 7)));

    // REX.W opcode /r with memory.
    private void General(byte opcode, Register register, Address place)
    {
        Bytes((byte)(0x48 | ((int)register >> 3 << 2) | Extension(place)), opcode);
        Operand((int)register & 7, place, displacementUnit: 1);
    }

    // The bits X and B of a REX prefix.
    private static int Extension(Address place) => ((int)(place.Index ?? 0) >> 3 << 1) | ((int)place.Base >> 3);

    // ModRM, SIB and displacement. A short displacement counts units, which in vector instructions are whole vectors.
    private void Operand(int field, Address place, int displacementUnit)
    {
        var (mode, isShort) = place.Displacement == 0 && ((int)place.Base & 7) != (int)Register.Rbp ? (0x00, false)
            : place.Displacement % displacementUnit == 0 && place.Displacement / displacementUnit is >= -128 and <= 127 ? (0x40, true)
            : (0x80, false);
        if (place.Index is { } index)
        {
            var scale = int.Log2(place.Scale);
            Bytes((byte)(mode | (field << 3) | 4), (byte)((scale << 6) | (((int)index & 7) << 3) | ((int)place.Base & 7)));
        }
        else
        {
            Bytes((byte)(mode | (field << 3) | ((int)place.Base & 7)));
            if (((int)place.Base & 7) == (int)Register.Rsp)
            {
                Bytes(0x24); // no index
            }
        }

        if (isShort)
        {
            Bytes((byte)(place.Displacement / displacementUnit));
        }
        else if (mode == 0x80)
        {
            _code.AddRange(BitConverter.GetBytes(place.Displacement));
        }
    }

    private void Jump(Label target, params ReadOnlySpan<byte> opcode)
    {
        Bytes(opcode);
        _jumps.Add((_code.Count, target));
        Bytes(0, 0, 0, 0);
    }

    private void Bytes(params ReadOnlySpan<byte> bytes) => _code.AddRange(bytes);

    /// <summary>A place in the code.</summary>
    public sealed class Label
    {
        /// <summary>Bytes before it, once it is placed.</summary>
        internal int Position { get; set; }
    }
}
