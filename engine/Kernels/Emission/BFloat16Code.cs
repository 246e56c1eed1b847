using System.Runtime.Intrinsics.X86;

namespace Distributed.Engine.Kernels.Emission;

/// <summary>
/// The emitted functions of this process, made once when they are first asked for. .NET has no name for AVX512_BF16, whose dot products are twice as fast as
/// float32's multiply-adds.
/// </summary>
internal sealed unsafe class BFloat16Code
{
    /// <summary>Rows of the larger tiles.</summary>
    public const int RowCount = 4;

    /// <summary>Tokens of the largest tiles.</summary>
    public const int MaxTokenCount = 4;

    private static readonly Lazy<(BFloat16Code? Code, string? Problem)> Made = new(Make);
    private readonly nint[] _functions; // [rows: 4 or 1][token - 1][ahead]

    private BFloat16Code(nint start, int[] offsets, int peak)
    {
        _functions = [.. offsets.Select(offset => offset < 0 ? 0 : start + offset)];
        Peak = (delegate* unmanaged<nint, void>)(start + peak);
    }

    /// <summary>The functions; <see langword="null"/> where there are none.</summary>
    public static BFloat16Code? Shared => Made.Value.Code;

    /// <summary>Why there are none, the end of a sentence; <see langword="null"/> where there are.</summary>
    public static string? Problem => Made.Value.Problem;

    /// <summary>
    /// As many rounds of <see cref="PeakDotCount"/> independent dot products of 32 pairs out of registers, for the limit that nothing can exceed.
    /// </summary>
    public delegate* unmanaged<nint, void> Peak { get; }

    /// <summary>Dot products of a round of <see cref="Peak"/>.</summary>
    public const int PeakDotCount = 16;

    /// <summary>A function for so many rows (4 or 1) and tokens (1 to 4).</summary>
    public delegate* unmanaged<TileArguments*, void> Tile(int rowCount, int tokenCount, TileAhead ahead)
        => (delegate* unmanaged<TileArguments*, void>)_functions[IndexOf(rowCount, tokenCount, ahead)];

    private static int IndexOf(int rowCount, int tokenCount, TileAhead ahead)
        => (((rowCount == RowCount ? 0 : MaxTokenCount) + tokenCount - 1) * ((int)TileAhead.FourRows + 1)) + (int)ahead;

    private static (BFloat16Code? Code, string? Problem) Make()
    {
        if (EmittedCode.Problem(IsInProcessor(), "AVX512_BF16") is { } problem)
        {
            return (null, problem);
        }

        var code = new Assembler();
        var offsets = EmitTiles(code, OperatingSystem.IsWindows());
        code.Align(16);
        var peak = code.Length;
        EmitPeak(code, OperatingSystem.IsWindows());
        var start = ExecutableMemory.Place(code.ToArray());
        return start == 0 ? (null, EmittedCode.NoMemory) : (new BFloat16Code(start, offsets, peak), null);
    }

    private static int[] EmitTiles(Assembler code, bool isWindows)
    {
        var offsets = new int[IndexOf(1, MaxTokenCount, TileAhead.FourRows) + 1];
        Array.Fill(offsets, -1);
        for (var tokenCount = 1; tokenCount <= MaxTokenCount; tokenCount++)
        {
            Emit(1, tokenCount, TileAhead.OneLine);
            for (var ahead = TileAhead.Nothing; ahead <= TileAhead.FourRows; ahead++)
            {
                Emit(RowCount, tokenCount, ahead);
            }
        }

        return offsets;

        void Emit(int rowCount, int tokenCount, TileAhead ahead)
        {
            code.Align(16);
            offsets[IndexOf(rowCount, tokenCount, ahead)] = code.Length;
            BFloat16TileEmitter.Emit(code, rowCount, tokenCount, ahead, isWindows);
        }
    }

    private static void EmitPeak(Assembler code, bool isWindows)
    {
        var next = new Assembler.Label();
        code.Move(Register.Rax, isWindows ? Register.Rcx : Register.Rdi);
        for (var sum = 0; sum < PeakDotCount; sum++)
        {
            code.Zero(16 + sum);
        }

        code.Zero(0);
        code.Place(next);
        for (var sum = 0; sum < PeakDotCount; sum++)
        {
            code.DotBFloat16(16 + sum, 0, 0);
        }

        code.Decrement(Register.Rax);
        code.JumpIfNotZero(next);
        code.ZeroUpper();
        code.Return();
    }

    // The masked loads need AVX512BW, and .NET knows whether the system keeps these registers.
    private static bool IsInProcessor()
        => Avx512BW.X64.IsSupported && X86Base.CpuId(7, 0).Eax >= 1 && (X86Base.CpuId(7, 1).Eax & (1 << 5)) != 0;
}
