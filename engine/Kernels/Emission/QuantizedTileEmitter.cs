using System.Runtime.InteropServices;

namespace Distributed.Engine.Kernels.Emission;

/// <summary>
/// Emits the sums of <see cref="QuantizedKernel"/> for several tokens by vpdpbusd: functions of one argument, a pointer to <see cref="QuantizedArguments"/>, each for a number of tokens. A pair of
/// tiles is a vector of 512 bits, a lane a row, and what is done to weights is done once for all tokens.
/// </summary>
/// <remarks>
/// <para>The instruction multiplies unsigned bytes with signed ones. Weights of 8 bits become unsigned by a flip of their highest bit, which adds 128, those of 4 bits have 8 added as they are
/// stored; a token's dot product starts from minus that times the sum of its numbers, by a shift. Numbers are exact throughout, so their order is free. The conversion to
/// float32, the product of both scales, and the one fused multiply-add a block are those of the kernel.</para>
/// <para>Of a Zen 4 such a block of 16 rows takes 10 cycles a token from three tokens on, which is what its two multipliers need: a cycle for each of eight vpdpbusd, the product of scales, and the
/// multiply-add. Two pairs of tiles at once, which halve what is read of the tokens, take as long.</para>
/// <para>A function is two loops: pairs, and blocks of a pair. Registers are zmm0 to zmm4 and zmm16 to zmm31, which no calling convention preserves, and general ones, which are
/// pushed where Windows or others preserve them. It calls nothing, raises nothing, and reads no byte outside its tiles and tokens.</para>
/// </remarks>
internal sealed class QuantizedTileEmitter
{
    /// <summary>Tokens at once at most: as many sums, and as many dot products, have a register.</summary>
    public const int MaxTokenCount = 8;

    private const int VectorByteCount = 64;

    // Vector registers.
    private const int Weights = 0;
    private const int LowHalves = 1;
    private const int Mask = 2;
    private const int Scales = 3;
    private const int Product = 4;
    private const int FirstSum = 16;
    private const int FirstDots = 24;

    // General registers.
    private const Register Arguments = Register.Rsi;
    private const Register Tile = Register.Rax;
    private const Register TileStride = Register.Rcx;
    private const Register Token = Register.Rdx;
    private const Register TokenStride = Register.R9;
    private const Register TokenStride3 = Register.R8;
    private const Register TokenStride5 = Register.R10;
    private const Register TokenStride7 = Register.Rdi;
    private const Register Sums = Register.Rbx;
    private const Register Ahead = Register.Rbp;
    private const Register Counter = Register.R11;

    private static readonly Register[] Preserved = [Register.Rbx, Register.Rbp, Register.Rsi, Register.Rdi];

    private readonly Assembler _code;
    private readonly bool _isInt8;
    private readonly int _tokenCount;
    private readonly bool _asksAhead;
    private readonly int _weightsByteCount; // of a block

    private QuantizedTileEmitter(Assembler code, bool isInt8, int tokenCount, bool asksAhead)
    {
        (_code, _isInt8, _tokenCount, _asksAhead) = (code, isInt8, tokenCount, asksAhead);
        _weightsByteCount = isInt8 ? Int8Format.BlockByteCount : Int4Format.BlockByteCount;
    }

    private int BlockByteCount => QuantizedLayout.ScalesByteCount + _weightsByteCount;

    /// <summary>Writes one function.</summary>
    /// <param name="code">Where to.</param>
    /// <param name="isInt8">Weights of 8 bits, else of 4.</param>
    /// <param name="tokenCount">2 to <see cref="MaxTokenCount"/>.</param>
    /// <param name="asksAhead">Whether to ask memory for the next pair.</param>
    /// <param name="isWindows">Whose calling convention.</param>
    public static void Emit(Assembler code, bool isInt8, int tokenCount, bool asksAhead, bool isWindows)
        => new QuantizedTileEmitter(code, isInt8, tokenCount, asksAhead).Emit(isWindows);

    private void Emit(bool isWindows)
    {
        var (nextPair, nextBlock) = (new Assembler.Label(), new Assembler.Label());
        foreach (var register in Preserved)
        {
            _code.Push(register);
        }

        _code.Move(Arguments, isWindows ? Register.Rcx : Register.Rdi);
        _code.Load(TileStride, Field(nameof(QuantizedArguments.TileStride)));
        _code.Load(TokenStride, Field(nameof(QuantizedArguments.TokenStride)));
        _code.LoadAddress(TokenStride3, new Address(TokenStride, TokenStride, 2));
        _code.LoadAddress(TokenStride5, new Address(TokenStride, TokenStride, 4));
        _code.LoadAddress(TokenStride7, new Address(TokenStride3, TokenStride, 4));
        _code.Load(Sums, Field(nameof(QuantizedArguments.Sums)));
        _code.Broadcast(Mask, Field(nameof(QuantizedArguments.Mask)));

        _code.Place(nextPair);
        _code.Load(Tile, Field(nameof(QuantizedArguments.Weights)));
        _code.Load(Token, Field(nameof(QuantizedArguments.Inputs)));
        _code.Load(Ahead, Field(nameof(QuantizedArguments.PairStride)));
        _code.Add(Ahead, Tile);
        ForEachToken(token => _code.LoadVector(FirstSum + token, SumAt(token)));
        _code.Load(Counter, Field(nameof(QuantizedArguments.BlockCount)));
        _code.Place(nextBlock);
        Block();
        _code.Add(Tile, BlockByteCount);
        _code.Add(Token, QuantizedLayout.ActivationByteCount);
        if (_asksAhead)
        {
            _code.Add(Ahead, BlockByteCount);
        }

        _code.Decrement(Counter);
        _code.JumpIfNotZero(nextBlock);
        ForEachToken(token => _code.StoreVector(SumAt(token), FirstSum + token));
        _code.Add(Sums, _tokenCount * VectorByteCount);
        _code.Load(Counter, Field(nameof(QuantizedArguments.Weights)));
        _code.Add(Counter, Field(nameof(QuantizedArguments.PairStride)));
        _code.Store(Field(nameof(QuantizedArguments.Weights)), Counter);
        _code.Decrement(Field(nameof(QuantizedArguments.PairCount)));
        _code.JumpIfNotZero(nextPair);
        _code.ZeroUpper();
        foreach (var register in Preserved.Reverse())
        {
            _code.Pop(register);
        }

        _code.Return();
    }

    private void Block()
    {
        var offsetBits = _isInt8 ? (byte)7 : (byte)3; // 128 or 8 times the sum
        AskAhead();
        ForEachToken(token => _code.ShiftLeft32(FirstDots + token, TokenAt(token, QuantizedLayout.ActivationSumOffset), offsetBits));
        for (var offset = 0; offset < _weightsByteCount; offset += QuantizedLayout.VectorByteCount)
        {
            var element = offset / QuantizedLayout.TileRowCount; // the first of four
            LoadWeights(offset);
            if (_isInt8)
            {
                _code.ExclusiveOr(Weights, Weights, Mask);
                AddDots(Weights, element);
            }
            else
            {
                _code.And(LowHalves, Weights, Mask);
                _code.ShiftRight16(Weights, Weights, 4);
                _code.And(Weights, Weights, Mask);
                AddDots(LowHalves, element);
                AddDots(Weights, element + (QuantizedLayout.BlockLength / 2));
            }
        }

        LoadScales();
        ForEachToken(token =>
        {
            _code.ConvertToSingle(FirstDots + token, FirstDots + token);
            _code.Multiply(Product, Scales, TokenAt(token, QuantizedLayout.ActivationScaleOffset));
            _code.MultiplyAdd(FirstSum + token, FirstDots + token, Product);
        });
    }

    // A vector of both tiles.
    private void LoadWeights(int offset)
    {
        _code.LoadVector(Weights, new Address(Tile, Displacement: offset), VectorLength.Bits256);
        _code.InsertUpper256(Weights, new Address(Tile, TileStride, Displacement: offset));
    }

    // All tokens' four numbers from an element on.
    private void AddDots(int weights, int element) => ForEachToken(token => _code.DotBytes(FirstDots + token, weights, TokenAt(token, element)));

    // The sixteen rows' scales, widened.
    private void LoadScales()
    {
        var scales = new Address(Tile, Displacement: -QuantizedLayout.ScalesByteCount);
        _code.LoadVector(Scales, scales, VectorLength.Bits128);
        _code.InsertUpper128(Scales, scales with { Index = TileStride });
        _code.Widen16(Scales, Scales);
        _code.ShiftLeft32(Scales, Scales, 16);
    }

    private void AskAhead()
    {
        for (var offset = 0; _asksAhead && offset < _weightsByteCount; offset += VectorByteCount)
        {
            _code.PrefetchToLevel2(new Address(Ahead, Displacement: offset));
            _code.PrefetchToLevel2(new Address(Ahead, TileStride, Displacement: offset));
        }
    }

    private void ForEachToken(Action<int> action)
    {
        for (var token = 0; token < _tokenCount; token++)
        {
            action(token);
        }
    }

    private static Address SumAt(int token) => new(Sums, Displacement: token * VectorByteCount);

    private static Address TokenAt(int token, int offset) => token switch
    {
        0 => new(Token, Displacement: offset),
        1 or 2 or 4 => new(Token, TokenStride, token, offset),
        3 => new(Token, TokenStride3, Displacement: offset),
        5 => new(Token, TokenStride5, Displacement: offset),
        6 => new(Token, TokenStride3, 2, offset),
        _ => new(Token, TokenStride7, Displacement: offset),
    };

    private static Address Field(string name) => new(Arguments, Displacement: (int)Marshal.OffsetOf<QuantizedArguments>(name));
}
