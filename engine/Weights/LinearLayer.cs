using Distributed.Engine.Kernels;

namespace Distributed.Engine.Weights;

/// <summary>
/// Matrices with the same inputs, such as those of queries, keys and values, as one loop over all their rows: their weights follow each
/// other through the threads without a pause between them. Rows that lie in several files are several matrices.
/// </summary>
internal sealed unsafe class LinearLayer
{
    // What a thread should have to do at least, in bytes of weights times tokens: some microseconds.
    private const long GrainByteCount = 64 << 10;

    private readonly KernelSet _kernels;
    private readonly ComputePool _pool;
    private readonly WeightMatrix[] _matrices;
    private readonly RangeBody _multiplyRows;
    private readonly long _rowByteCount;
    private LinearInputs _inputs;
    private LinearOutputs _outputs;

    /// <param name="kernels">Multiply.</param>
    /// <param name="pool">Runs the loop.</param>
    /// <param name="matrices">Of equal columns, groups and format; none where the rank has no rows.</param>
    public LinearLayer(KernelSet kernels, ComputePool pool, params WeightMatrix[] matrices)
    {
        _kernels = kernels;
        _pool = pool;
        _matrices = matrices;
        _multiplyRows = MultiplyRows;
        InputLayout = matrices.FirstOrDefault()?.InputLayout ?? default;
        RowCount = matrices.Sum(matrix => matrix.RowCount);
        ByteCount = matrices.Sum(matrix => matrix.ByteCount);
        _rowByteCount = Math.Max(1, ByteCount / Math.Max(1, RowCount));
        if (Array.Exists(matrices, matrix => matrix.InputLayout != InputLayout))
        {
            throw new ArgumentException("Matrices with the same inputs must be stored alike.", nameof(matrices));
        }
    }

    /// <summary>How the inputs lie.</summary>
    public ActivationLayout InputLayout { get; }

    /// <summary>Rows of all matrices: the width of the output.</summary>
    public int RowCount { get; }

    /// <summary>Bytes of the weights.</summary>
    public long ByteCount { get; }

    /// <summary>Computes every output of every token.</summary>
    /// <param name="inputs">[token, InputLayout.PaddedLength], arranged by <see cref="InputLayout"/>.</param>
    /// <param name="tokenCount">Tokens.</param>
    /// <param name="outputs">[token, matrix, row], the rows of one matrix after those of the other.</param>
    /// <param name="outputStride">Floats from a token's outputs to the next one's.</param>
    public void Multiply(float* inputs, int tokenCount, float* outputs, nint outputStride)
    {
        _inputs = new LinearInputs((nint)inputs, InputLayout.PaddedLength, tokenCount);
        _outputs = new LinearOutputs((nint)outputs, outputStride);
        if (RowCount > 0)
        {
            _pool.For(RowCount, Grain(_rowByteCount, tokenCount), _multiplyRows);
        }
    }

    /// <summary>Rows that are worth a hand-over to another thread; a multiple of the rows that the kernels take at once, four or a tile of eight.</summary>
    public static int Grain(long rowByteCount, int tokenCount)
        => (int)(Math.Clamp(GrainByteCount / (rowByteCount * tokenCount), 8, int.MaxValue - 7) + 7) & ~7;

    private void MultiplyRows(int start, int end)
    {
        var first = 0;
        foreach (var matrix in _matrices)
        {
            var rowStart = Math.Max(start - first, 0);
            var rowEnd = Math.Min(end - first, matrix.RowCount);
            if (rowStart < rowEnd)
            {
                var outputs = new LinearOutputs((nint)((float*)_outputs.Data + first), _outputs.TokenStride);
                matrix.Multiply(_kernels, _inputs, outputs, rowStart, rowEnd);
            }

            first += matrix.RowCount;
        }
    }
}
