using System.Diagnostics;
using Distributed.Engine.Checkpoints;
using Distributed.Engine.Kernels;

namespace Distributed.Engine.Diagnosis;

/// <summary>
/// The rate of this machine's products of quantised weights with many tokens, out of the caches: what prefilling can come to. It depends on the integer instructions
/// that the processor has, so it is the kernel itself that runs.
/// </summary>
internal static unsafe class QuantizedProductsProbe
{
    private const int RowCount = 64;
    private const int ColumnCount = 1024;
    private const int TokenCount = 64;
    private const int PassCount = 48; // some 20 ms on a slow core
    private const int PiecesPerThread = 4;

    /// <summary>Operations a second, in billions, of all threads of the pool together; a multiply-add is two.</summary>
    /// <param name="pool">Runs them.</param>
    /// <param name="type">8 or 4 bits.</param>
    public static double Measure(ComputePool pool, TensorType type)
    {
        // Zeros take as long as any other numbers.
        var blocks = ColumnCount / QuantizedLayout.BlockLength;
        var blockByteCount = QuantizedLayout.ScalesByteCount + (type == TensorType.Int8 ? Int8Format.BlockByteCount : Int4Format.BlockByteCount);
        var tileByteCount = blocks * blockByteCount;
        var pieces = PiecesPerThread * pool.ThreadCount;
        var tokenStride = blocks * QuantizedLayout.ActivationFloatCount;
        using var tiles = new NativeBuffer(QuantizedLayout.TileCount(RowCount) * (long)tileByteCount / sizeof(float));
        using var x = new NativeBuffer(TokenCount * (long)tokenStride);
        using var y = new NativeBuffer(pieces * (long)TokenCount * RowCount);
        var weights = new QuantizedWeights((nint)tiles.Data, tileByteCount, GroupCount: 1, ColumnCount);
        var inputs = new LinearInputs((nint)x.Data, tokenStride, TokenCount);
        var output = y.Data;
        var start = Stopwatch.GetTimestamp();
        pool.For(pieces, 1, (first, end) =>
        {
            for (var piece = first; piece < end; piece++)
            {
                var outputs = new LinearOutputs((nint)(output + ((nint)piece * TokenCount * RowCount)), RowCount);
                for (var pass = 0; pass < PassCount; pass++)
                {
                    if (type == TensorType.Int8)
                    {
                        KernelSet.Best.MultiplyInt8(weights, inputs, outputs, 0, RowCount);
                    }
                    else
                    {
                        KernelSet.Best.MultiplyInt4(weights, inputs, outputs, 0, RowCount);
                    }
                }
            }
        });
        return 2.0 * RowCount * ColumnCount * TokenCount * PassCount * pieces / Stopwatch.GetElapsedTime(start).TotalSeconds / 1e9;
    }
}
