using System.Runtime.Intrinsics.X86;

namespace Distributed.Engine.Kernels.Emission;

/// <summary>
/// The emitted functions for quantised weights, made once when they are first asked for. .NET has no name for AVX512_VNNI, whose dot products of bytes take one instruction where AVX2 takes
/// three; it has one for AVX-VNNI, the same with another encoding, which few processors with AVX-512 have.
/// </summary>
internal sealed unsafe class QuantizedCode
{
    /// <summary>Tokens at once at most; at least 2, as one waits for memory and gains nothing.</summary>
    public const int MaxTokenCount = QuantizedTileEmitter.MaxTokenCount;

    private static readonly Lazy<QuantizedCode?> Made = new(Make);
    private readonly nint[] _functions; // [8 bits, 4 bits][nothing ahead, ahead][tokens - 2]

    private QuantizedCode(nint start, int[] offsets) => _functions = [.. offsets.Select(offset => start + offset)];

    /// <summary>Whether this machine runs such code and gives memory for it.</summary>
    public static bool IsSupported { get; } = EmittedCode.Problem(IsInProcessor(), "AVX512_VNNI") is null;

    /// <summary>The functions; <see langword="null"/> where there are none.</summary>
    public static QuantizedCode? Shared => Made.Value;

    /// <summary>A function for so many tokens (2 to <see cref="MaxTokenCount"/>).</summary>
    public delegate* unmanaged<QuantizedArguments*, void> Function<TFormat>(int tokenCount, bool asksAhead)
        where TFormat : struct, IQuantizedFormat
        => (delegate* unmanaged<QuantizedArguments*, void>)_functions[IndexOf(typeof(TFormat) == typeof(Int8Format), tokenCount, asksAhead)];

    /// <summary>What <see cref="QuantizedArguments.Mask"/> is.</summary>
    public static nint Mask<TFormat>()
        where TFormat : struct, IQuantizedFormat
        => typeof(TFormat) == typeof(Int8Format) ? unchecked((int)0x80808080) : 0x0F0F0F0F;

    private static int IndexOf(bool isInt8, int tokenCount, bool asksAhead) => (((isInt8 ? 0 : 2) + (asksAhead ? 1 : 0)) * (MaxTokenCount - 1)) + tokenCount - 2;

    private static QuantizedCode? Make()
    {
        if (!IsSupported)
        {
            return null;
        }

        var code = new Assembler();
        var offsets = new int[IndexOf(false, MaxTokenCount, true) + 1];
        for (var index = 0; index < offsets.Length; index++)
        {
            code.Align(16);
            offsets[index] = code.Length;
            var variant = index / (MaxTokenCount - 1);
            QuantizedTileEmitter.Emit(code, variant < 2, (index % (MaxTokenCount - 1)) + 2, variant % 2 == 1, OperatingSystem.IsWindows());
        }

        var start = ExecutableMemory.Place(code.ToArray());
        return start == 0 ? null : new QuantizedCode(start, offsets);
    }

    // The code takes AVX512F, BW and VL beside it, and .NET knows whether the system keeps these registers.
    private static bool IsInProcessor()
        => Avx512BW.VL.IsSupported && Avx512F.VL.IsSupported && Avx512BW.X64.IsSupported && (X86Base.CpuId(7, 0).Ecx & (1 << 11)) != 0;
}
