using System.Runtime.InteropServices;

namespace Distributed.Engine.Kernels.Emission;

/// <summary>What a tile function asks memory for with each block.</summary>
internal enum TileAhead
{
    /// <summary>Nothing.</summary>
    Nothing,

    /// <summary>The next line.</summary>
    OneLine,

    /// <summary>The next two lines: rows that lie without gaps are one stream.</summary>
    TwoLines,

    /// <summary>The next four lines.</summary>
    FourLines,

    /// <summary>The next line of each of two rows.</summary>
    TwoRows,

    /// <summary>The next line of each of four rows.</summary>
    FourRows,
}

/// <summary>
/// Emits the tiles of <see cref="BFloat16Products"/>: functions of one argument, a pointer to <see cref="TileArguments"/>, each for a number of rows (4 or 1), of tokens (1 to 4), and a way of
/// asking ahead.
/// </summary>
/// <remarks>
/// A function is three loops: tiles, groups of a tile, blocks of a group. Each sum is a register from zmm16 on, which no calling convention preserves, and so are zmm0 to zmm5; general
/// registers that Windows preserves are pushed. It calls nothing, raises nothing, and reads no byte outside its rows and tokens.
/// </remarks>
internal sealed class BFloat16TileEmitter
{
    private const int FirstSum = 16;
    private const int FirstInput = 4; // behind the weights of four rows
    private const int VectorByteCount = 64;

    // Registers.
    private const Register Arguments = Register.Rsi;
    private const Register Row = Register.Rax;
    private const Register RowStride = Register.Rcx;
    private const Register RowStride3 = Register.R8;
    private const Register Token = Register.Rdx;
    private const Register TokenStride = Register.R9;
    private const Register TokenStride3 = Register.R10;
    private const Register Counter = Register.R11;
    private const Register Ahead = Register.Rbx;

    private readonly Assembler _code;
    private readonly int _rowCount;
    private readonly int _tokenCount;
    private readonly TileAhead _ahead;

    private BFloat16TileEmitter(Assembler code, int rowCount, int tokenCount, TileAhead ahead)
        => (_code, _rowCount, _tokenCount, _ahead) = (code, rowCount, tokenCount, ahead);

    /// <summary>Writes one function.</summary>
    /// <param name="code">Where to.</param>
    /// <param name="rowCount">4 or 1.</param>
    /// <param name="tokenCount">1 to 4.</param>
    /// <param name="ahead">What to ask for.</param>
    /// <param name="isWindows">Whose calling convention.</param>
    public static void Emit(Assembler code, int rowCount, int tokenCount, TileAhead ahead, bool isWindows)
        => new BFloat16TileEmitter(code, rowCount, tokenCount, ahead).Emit(isWindows);

    private void Emit(bool isWindows)
    {
        var (nextTile, nextGroup) = (new Assembler.Label(), new Assembler.Label());
        _code.Push(Register.Rbx);
        _code.Push(Register.Rsi);
        _code.Move(Arguments, isWindows ? Register.Rcx : Register.Rdi);
        _code.Load(RowStride, Field(nameof(TileArguments.RowStride)));
        _code.Load(TokenStride, Field(nameof(TileArguments.TokenStride)));
        _code.LoadAddress(RowStride3, new Address(RowStride, RowStride, 2));
        _code.LoadAddress(TokenStride3, new Address(TokenStride, TokenStride, 2));
        _code.LoadMask(Field(nameof(TileArguments.LastMask)));

        _code.Place(nextTile);
        _code.Load(Row, Field(nameof(TileArguments.Weights)));
        _code.Load(Token, Field(nameof(TileArguments.Inputs)));
        _code.Load(Ahead, Field(nameof(TileArguments.Ahead)));
        _code.Load(Counter, Field(nameof(TileArguments.GroupCount)));
        _code.Store(Field(nameof(TileArguments.GroupsLeft)), Counter);

        _code.Place(nextGroup);
        BeginSums();
        Blocks();
        _code.Add(Row, Field(nameof(TileArguments.GroupStep)));
        EndSums();
        _code.Decrement(Field(nameof(TileArguments.GroupsLeft)));
        _code.JumpIfNotZero(nextGroup);

        Advance(nameof(TileArguments.Weights), nameof(TileArguments.WeightStep));
        Advance(nameof(TileArguments.Inputs), nameof(TileArguments.InputStep));
        Advance(nameof(TileArguments.Ahead), nameof(TileArguments.AheadStep));
        _code.Decrement(Field(nameof(TileArguments.TileCount)));
        _code.JumpIfNotZero(nextTile);
        _code.ZeroUpper();
        _code.Pop(Register.Rsi);
        _code.Pop(Register.Rbx);
        _code.Return();
    }

    private void BeginSums()
    {
        var (zeros, begun) = (new Assembler.Label(), new Assembler.Label());
        _code.Compare(Field(nameof(TileArguments.IsFirst)), 0);
        _code.JumpIfNotZero(zeros);
        _code.Load(Counter, Field(nameof(TileArguments.Sums)));
        ForEachSum((sum, place) => _code.LoadVector(sum, place));
        _code.Jump(begun);
        _code.Place(zeros);
        ForEachSum((sum, _) => _code.Zero(sum));
        _code.Place(begun);
    }

    // Four at a time, so that loops are short: where one ends is then foreseen, and the next tile begins while this one's sums are added.
    private void Blocks()
    {
        Loop(nameof(TileArguments.QuadCount), 4);
        Loop(nameof(TileArguments.BlockCount), 1);
        Block(0, isLast: true);
        Advance(1);
    }

    private void Loop(string count, int blockCount)
    {
        var (next, end) = (new Assembler.Label(), new Assembler.Label());
        _code.Load(Counter, Field(count));
        _code.Test(Counter);
        _code.JumpIfZero(end);
        _code.Place(next);
        for (var block = 0; block < blockCount; block++)
        {
            Block(block, isLast: false);
        }

        Advance(blockCount);
        _code.Add(Row, blockCount * VectorByteCount);
        _code.Decrement(Counter);
        _code.JumpIfNotZero(next);
        _code.Place(end);
    }

    private void Advance(int blockCount)
    {
        _code.Add(Token, blockCount * VectorByteCount);
        if (_ahead != TileAhead.Nothing)
        {
            _code.Add(Ahead, blockCount * LinesAhead * VectorByteCount);
        }
    }

    // Each operand that is loaded serves all products of its row or token.
    private void Block(int block, bool isLast)
    {
        var offset = block * VectorByteCount;
        AskAhead(block);
        if (_tokenCount == 1 && !isLast)
        {
            _code.LoadVector(FirstInput, TokenAt(0, offset));
            for (var row = 0; row < _rowCount; row++)
            {
                _code.DotBFloat16(Sum(row, 0), FirstInput, RowAt(row, offset));
            }

            return;
        }

        for (var row = 0; row < _rowCount; row++)
        {
            if (isLast)
            {
                _code.LoadVectorMasked(row, RowAt(row, offset));
            }
            else
            {
                _code.LoadVector(row, RowAt(row, offset));
            }
        }

        for (var token = 0; token < _tokenCount; token++)
        {
            var input = FirstInput + (token % 2);
            _code.LoadVector(input, TokenAt(token, offset));
            for (var row = 0; row < _rowCount; row++)
            {
                _code.DotBFloat16(Sum(row, token), row, input);
            }
        }
    }

    // Lines that lie one after the other with each block.
    private int LinesAhead => _ahead switch
    {
        TileAhead.TwoLines => 2,
        TileAhead.FourLines => 4,
        _ => 1,
    };

    private void AskAhead(int block)
    {
        var offset = block * LinesAhead * VectorByteCount;
        Address[] lines = _ahead switch
        {
            TileAhead.Nothing => [],
            TileAhead.TwoRows => [At(0), At(1)],
            TileAhead.FourRows => [At(0), At(1), At(2), At(3)],
            _ => [.. Enumerable.Range(0, LinesAhead).Select(line => new Address(Ahead, Displacement: offset + (line * VectorByteCount)))],
        };
        foreach (var line in lines)
        {
            _code.PrefetchToLevel2(line);
        }

        Address At(int row) => Place(row, Ahead, RowStride, RowStride3, offset);
    }

    private void EndSums()
    {
        var (isLast, ended) = (new Assembler.Label(), new Assembler.Label());
        _code.Compare(Field(nameof(TileArguments.IsLast)), 0);
        _code.JumpIfNotZero(isLast);
        _code.Load(Counter, Field(nameof(TileArguments.Sums)));
        ForEachSum((sum, place) => _code.StoreVector(place, sum));
        _code.Jump(ended);
        _code.Place(isLast);
        var result = _tokenCount == 1 && _rowCount > 1 ? TreeOfRows() : TreeOfTile();
        _code.Load(Counter, Field(nameof(TileArguments.Results)));
        _code.StoreVector(new Address(Counter), result);
        _code.Add(Counter, VectorByteCount);
        _code.Store(Field(nameof(TileArguments.Results)), Counter);
        _code.Place(ended);
        _code.Load(Counter, Field(nameof(TileArguments.Sums)));
        _code.Add(Counter, _rowCount * 4 * VectorByteCount);
        _code.Store(Field(nameof(TileArguments.Sums)), Counter);
    }

    // The lane tree for four rows of one token, side by side.
    private int TreeOfRows()
    {
        Fold8(0, Sum(0, 0), Sum(1, 0));
        Fold8(1, Sum(2, 0), Sum(3, 0));
        Fold4(0, 0, 1);
        Fold2(0, 0, 0);
        Fold1(0, 0, 0);
        return 0;
    }

    // The same for a row's four tokens at first, then for the rows. What stands for missing ones is not looked at.
    private int TreeOfTile()
    {
        for (var row = 0; row < _rowCount; row++)
        {
            var first = Sum(row, 0);
            Fold8(first, first, Sum(row, Math.Min(1, _tokenCount - 1)));
            var second = first;
            if (_tokenCount > 2)
            {
                second = Sum(row, 2);
                Fold8(second, second, Sum(row, _tokenCount - 1));
            }

            Fold4(first, first, second);
        }

        Fold2(0, Sum(0, 0), Sum(Math.Min(1, _rowCount - 1), 0));
        Fold2(1, Sum(Math.Min(2, _rowCount - 1), 0), Sum(_rowCount - 1, 0));
        Fold1(0, 0, 1);
        return 0;
    }

    // The folds of ILanes.
    private void Fold8(int destination, int left, int right) => FoldQuarters(destination, left, right, 0b01_00_01_00, 0b11_10_11_10);

    private void Fold4(int destination, int left, int right) => FoldQuarters(destination, left, right, 0b10_00_10_00, 0b11_01_11_01);

    private void Fold2(int destination, int left, int right) => FoldLanes(destination, left, right, 0b01_00_01_00, 0b11_10_11_10);

    private void Fold1(int destination, int left, int right) => FoldLanes(destination, left, right, 0b10_00_10_00, 0b11_01_11_01);

    private void FoldQuarters(int destination, int left, int right, byte lower, byte upper)
    {
        _code.ShuffleQuarters(FirstInput, left, right, lower);
        _code.ShuffleQuarters(destination, left, right, upper);
        _code.AddVectors(destination, FirstInput, destination);
    }

    private void FoldLanes(int destination, int left, int right, byte lower, byte upper)
    {
        _code.ShuffleLanes(FirstInput, left, right, lower);
        _code.ShuffleLanes(destination, left, right, upper);
        _code.AddVectors(destination, FirstInput, destination);
    }

    private void ForEachSum(Action<int, Address> action)
    {
        for (var token = 0; token < _tokenCount; token++)
        {
            for (var row = 0; row < _rowCount; row++)
            {
                var sum = Sum(row, token);
                action(sum, new Address(Counter, Displacement: (sum - FirstSum) * VectorByteCount));
            }
        }
    }

    private void Advance(string field, string step)
    {
        _code.Load(Counter, Field(field));
        _code.Add(Counter, Field(step));
        _code.Store(Field(field), Counter);
    }

    private int Sum(int row, int token) => FirstSum + (token * _rowCount) + row;

    private static Address RowAt(int row, int offset) => Place(row, Row, RowStride, RowStride3, offset);

    private static Address TokenAt(int token, int offset) => Place(token, Token, TokenStride, TokenStride3, offset);

    private static Address Place(int index, Register first, Register stride, Register stride3, int offset) => index switch
    {
        0 => new(first, Displacement: offset),
        1 => new(first, stride, Displacement: offset),
        2 => new(first, stride, 2, offset),
        _ => new(first, stride3, Displacement: offset),
    };

    private static Address Field(string name) => new(Arguments, Displacement: (int)Marshal.OffsetOf<TileArguments>(name));
}
