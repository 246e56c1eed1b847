using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Distributed.Engine.Kernels;

/// <summary>
/// Four tokens at once against a pair of tiles on AVX-512, without VNNI: what is done to weights, to widen them or to take halves apart, is done once for four tokens, and what is read of a
/// token serves sixteen rows.
/// </summary>
/// <remarks>
/// <para>A row has 64 bits of a vector. Weights of 8 bits are widened to 16, of which pairs are multiplied and added into two sums of 32 bits a row, without a
/// thought of their signs. Those of 4 bits are multiplied as bytes; a block's eight products a sum, each at most 15 x 127, fit 16 bits.</para>
/// <para>Four tokens' blocks are prepared as a <em>panel</em>, so that a vector is one load.</para>
/// </remarks>
internal static unsafe class QuantizedPairs<TFormat>
    where TFormat : struct, IQuantizedFormat
{
    /// <summary>Tokens at once.</summary>
    public const int TokenCount = 4;

    /// <summary>Blocks of a panel.</summary>
    public const int PanelBlockCount = 32;

    /// <summary>Bytes of a panel.</summary>
    public const int PanelByteCount = PanelBlockCount * PanelBlockByteCount;

    private const int LaneCount = 2 * QuantizedLayout.TileRowCount;

    // A block of a panel: four tokens' numbers, as 16 bits for weights of 8; four scales; eight times minus the sums of the numbers.
    private const int TokenByteCount = QuantizedLayout.BlockLength * sizeof(short);
    private const int ScalesOffset = TokenCount * TokenByteCount;
    private const int OffsetsOffset = ScalesOffset + (TokenCount * sizeof(float));
    private const int PanelBlockByteCount = OffsetsOffset + (TokenCount * sizeof(int));

    private static int BlockByteCount => QuantizedLayout.ScalesByteCount + TFormat.BlockByteCount;

    /// <summary>Prepares some blocks of four tokens.</summary>
    /// <param name="inputs">All tokens.</param>
    /// <param name="firstToken">The first one; where fewer than four are left, the last one stands for those that are not.</param>
    /// <param name="firstBlock">The first block.</param>
    /// <param name="count">At most <see cref="PanelBlockCount"/>.</param>
    /// <param name="panel">[<see cref="PanelByteCount"/>]</param>
    public static void Prepare(in LinearInputs inputs, int firstToken, int firstBlock, int count, byte* panel)
    {
        for (var i = 0; i < TokenCount; i++)
        {
            var token = Math.Min(firstToken + i, inputs.TokenCount - 1);
            Prepare((byte*)inputs.Token(token) + ((nint)firstBlock * QuantizedLayout.ActivationByteCount), panel, i, count);
        }
    }

    /// <summary>Adds the blocks of a panel to the sums of a pair of tiles.</summary>
    /// <param name="tile0">The first block of the first tile.</param>
    /// <param name="tile1">That of the second tile.</param>
    /// <param name="panel">The tokens' blocks.</param>
    /// <param name="blockCount">Blocks.</param>
    /// <param name="sums">[token, lane] in the order of <see cref="Rows"/>.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Add(byte* tile0, byte* tile1, byte* panel, int blockCount, float* sums)
    {
        var sum0 = Vector512.Load(sums);
        var sum1 = Vector512.Load(sums + LaneCount);
        var sum2 = Vector512.Load(sums + (2 * LaneCount));
        var sum3 = Vector512.Load(sums + (3 * LaneCount));
        for (; blockCount > 0; blockCount--)
        {
            if (typeof(TFormat) == typeof(Int8Format))
            {
                AddInt8(tile0, tile1, panel, ref sum0, ref sum1, ref sum2, ref sum3);
            }
            else
            {
                AddInt4(tile0, tile1, panel, ref sum0, ref sum1, ref sum2, ref sum3);
            }

            tile0 += BlockByteCount;
            tile1 += BlockByteCount;
            panel += PanelBlockByteCount;
        }

        sum0.Store(sums);
        sum1.Store(sums + LaneCount);
        sum2.Store(sums + (2 * LaneCount));
        sum3.Store(sums + (3 * LaneCount));
    }

    /// <summary>Brings the sums of a token from the order of <see cref="Add"/> to the first tile's rows and then the second's.</summary>
    public static void Order(float* sums)
        => Avx512F.PermuteVar8x64(Vector512.Load((long*)sums), Vector512.Create(0L, 2, 4, 6, 1, 3, 5, 7)).Store((long*)sums);

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Prepare(byte* source, byte* panel, int token, int count)
    {
        for (var block = 0; block < count; block++, source += QuantizedLayout.ActivationByteCount, panel += PanelBlockByteCount)
        {
            var numbers = Vector256.Load((sbyte*)source);
            if (typeof(TFormat) == typeof(Int8Format))
            {
                Avx512BW.ConvertToVector512Int16(numbers).Store((short*)(panel + (token * TokenByteCount)));
            }
            else
            {
                numbers.Store((sbyte*)(panel + (token * TokenByteCount)));
            }

            ((float*)(panel + ScalesOffset))[token] = *(float*)(source + QuantizedLayout.ActivationScaleOffset);
            ((int*)(panel + OffsetsOffset))[token] = 8 * *(int*)(source + QuantizedLayout.ActivationSumOffset);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void AddInt8(byte* tile0, byte* tile1, byte* panel, ref Vector512<float> sum0, ref Vector512<float> sum1, ref Vector512<float> sum2, ref Vector512<float> sum3)
    {
        var dots00 = Vector512<int>.Zero;
        var (dots01, dots02, dots03, dots10, dots11, dots12, dots13) = (dots00, dots00, dots00, dots00, dots00, dots00, dots00);
        var weights0 = (sbyte*)tile0 + QuantizedLayout.ScalesByteCount;
        var weights1 = (sbyte*)tile1 + QuantizedLayout.ScalesByteCount;
        for (nint i = 0; i < 8; i++)
        {
            var x = panel + (8 * i);
            var w0 = Avx512BW.ConvertToVector512Int16(Vector256.Load(weights0 + (32 * i)));
            var w1 = Avx512BW.ConvertToVector512Int16(Vector256.Load(weights1 + (32 * i)));
            var four = Avx512Dot.Eight(x).AsInt16();
            dots00 += Avx512BW.MultiplyAddAdjacent(w0, four);
            dots10 += Avx512BW.MultiplyAddAdjacent(w1, four);
            four = Avx512Dot.Eight(x + TokenByteCount).AsInt16();
            dots01 += Avx512BW.MultiplyAddAdjacent(w0, four);
            dots11 += Avx512BW.MultiplyAddAdjacent(w1, four);
            four = Avx512Dot.Eight(x + (2 * TokenByteCount)).AsInt16();
            dots02 += Avx512BW.MultiplyAddAdjacent(w0, four);
            dots12 += Avx512BW.MultiplyAddAdjacent(w1, four);
            four = Avx512Dot.Eight(x + (3 * TokenByteCount)).AsInt16();
            dots03 += Avx512BW.MultiplyAddAdjacent(w0, four);
            dots13 += Avx512BW.MultiplyAddAdjacent(w1, four);
        }

        var scales = Scales(tile0, tile1);
        var xScales = (float*)(panel + ScalesOffset);
        sum0 = Vector512.FusedMultiplyAdd(Vector512.ConvertToSingle(Rows(dots00, dots10)), scales * Vector512.Create(xScales[0]), sum0);
        sum1 = Vector512.FusedMultiplyAdd(Vector512.ConvertToSingle(Rows(dots01, dots11)), scales * Vector512.Create(xScales[1]), sum1);
        sum2 = Vector512.FusedMultiplyAdd(Vector512.ConvertToSingle(Rows(dots02, dots12)), scales * Vector512.Create(xScales[2]), sum2);
        sum3 = Vector512.FusedMultiplyAdd(Vector512.ConvertToSingle(Rows(dots03, dots13)), scales * Vector512.Create(xScales[3]), sum3);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void AddInt4(byte* tile0, byte* tile1, byte* panel, ref Vector512<float> sum0, ref Vector512<float> sum1, ref Vector512<float> sum2, ref Vector512<float> sum3)
    {
        var ones = Vector512<short>.One;
        Avx512Dot.Halves(tile0 + QuantizedLayout.ScalesByteCount, out var low00, out var high00);
        Avx512Dot.Halves(tile0 + QuantizedLayout.ScalesByteCount + 64, out var low01, out var high01);
        Avx512Dot.Halves(tile1 + QuantizedLayout.ScalesByteCount, out var low10, out var high10);
        Avx512Dot.Halves(tile1 + QuantizedLayout.ScalesByteCount + 64, out var low11, out var high11);
        var scales = Scales(tile0, tile1);
        var xScales = (float*)(panel + ScalesOffset);
        var offsets = (int*)(panel + OffsetsOffset);

        var (x0, x1, x2, x3) = (Avx512Dot.Eight(panel), Avx512Dot.Eight(panel + 8), Avx512Dot.Eight(panel + 16), Avx512Dot.Eight(panel + 24));
        var dots0 = Avx512BW.MultiplyAddAdjacent(Pairs(low00, low01, high00, high01, x0, x1, x2, x3), ones);
        var dots1 = Avx512BW.MultiplyAddAdjacent(Pairs(low10, low11, high10, high11, x0, x1, x2, x3), ones);
        var dots = Rows(dots0, dots1) + Vector512.Create(offsets[0]);
        sum0 = Vector512.FusedMultiplyAdd(Vector512.ConvertToSingle(dots), scales * Vector512.Create(xScales[0]), sum0);

        var x = panel + TokenByteCount;
        (x0, x1, x2, x3) = (Avx512Dot.Eight(x), Avx512Dot.Eight(x + 8), Avx512Dot.Eight(x + 16), Avx512Dot.Eight(x + 24));
        dots0 = Avx512BW.MultiplyAddAdjacent(Pairs(low00, low01, high00, high01, x0, x1, x2, x3), ones);
        dots1 = Avx512BW.MultiplyAddAdjacent(Pairs(low10, low11, high10, high11, x0, x1, x2, x3), ones);
        dots = Rows(dots0, dots1) + Vector512.Create(offsets[1]);
        sum1 = Vector512.FusedMultiplyAdd(Vector512.ConvertToSingle(dots), scales * Vector512.Create(xScales[1]), sum1);

        x = panel + (2 * TokenByteCount);
        (x0, x1, x2, x3) = (Avx512Dot.Eight(x), Avx512Dot.Eight(x + 8), Avx512Dot.Eight(x + 16), Avx512Dot.Eight(x + 24));
        dots0 = Avx512BW.MultiplyAddAdjacent(Pairs(low00, low01, high00, high01, x0, x1, x2, x3), ones);
        dots1 = Avx512BW.MultiplyAddAdjacent(Pairs(low10, low11, high10, high11, x0, x1, x2, x3), ones);
        dots = Rows(dots0, dots1) + Vector512.Create(offsets[2]);
        sum2 = Vector512.FusedMultiplyAdd(Vector512.ConvertToSingle(dots), scales * Vector512.Create(xScales[2]), sum2);

        x = panel + (3 * TokenByteCount);
        (x0, x1, x2, x3) = (Avx512Dot.Eight(x), Avx512Dot.Eight(x + 8), Avx512Dot.Eight(x + 16), Avx512Dot.Eight(x + 24));
        dots0 = Avx512BW.MultiplyAddAdjacent(Pairs(low00, low01, high00, high01, x0, x1, x2, x3), ones);
        dots1 = Avx512BW.MultiplyAddAdjacent(Pairs(low10, low11, high10, high11, x0, x1, x2, x3), ones);
        dots = Rows(dots0, dots1) + Vector512.Create(offsets[3]);
        sum3 = Vector512.FusedMultiplyAdd(Vector512.ConvertToSingle(dots), scales * Vector512.Create(xScales[3]), sum3);
    }

    // Two sums a row become one. Rows 2q and 2q + 1 of the first tile and those of the second are quarter q.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<int> Rows(Vector512<int> dots0, Vector512<int> dots1)
        => Avx512F.Shuffle(dots0.AsSingle(), dots1.AsSingle(), 0b10_00_10_00).AsInt32() + Avx512F.Shuffle(dots0.AsSingle(), dots1.AsSingle(), 0b11_01_11_01).AsInt32();

    // In the same order.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<float> Scales(byte* tile0, byte* tile1)
    {
        var (scales0, scales1) = (Vector128.Load((int*)tile0), Vector128.Load((int*)tile1));
        var pairs = Vector256.Create(Sse2.UnpackLow(scales0, scales1), Sse2.UnpackHigh(scales0, scales1)).AsUInt16();
        return (Avx512F.ConvertToVector512Int32(pairs) << 16).AsSingle();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<short> Pairs(
        Vector512<byte> low0, Vector512<byte> low1, Vector512<byte> high0, Vector512<byte> high1, Vector512<sbyte> x0, Vector512<sbyte> x1, Vector512<sbyte> x2, Vector512<sbyte> x3)
        => (Avx512BW.MultiplyAddAdjacent(low0, x0) + Avx512BW.MultiplyAddAdjacent(low1, x1))
            + (Avx512BW.MultiplyAddAdjacent(high0, x2) + Avx512BW.MultiplyAddAdjacent(high1, x3));
}
