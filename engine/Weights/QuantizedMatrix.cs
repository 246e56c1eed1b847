using Distributed.Engine.Checkpoints;
using Distributed.Engine.Kernels;

namespace Distributed.Engine.Weights;

/// <summary>Weights that were quantised in blocks of 32 while loading; the memory is the matrix's own, the file is not needed any more.</summary>
/// <typeparam name="TFormat">8 or 4 bits.</typeparam>
internal abstract unsafe class QuantizedMatrix<TFormat> : WeightMatrix
    where TFormat : struct, IQuantizedFormat
{
    private readonly NativeBuffer _buffer;

    private protected QuantizedMatrix(MatrixView view, int groupCount, ComputePool pool)
        : base(view, groupCount, ActivationForm.Quantized)
    {
        var groupLength = view.ColumnCount / groupCount;
        var blockByteCount = QuantizedLayout.ScalesByteCount + TFormat.BlockByteCount;
        var tileByteCount = (long)groupCount * QuantizedLayout.BlockCount(groupLength) * blockByteCount;
        var tileCount = (view.RowCount + QuantizedLayout.TileRowCount - 1) / QuantizedLayout.TileRowCount;
        _buffer = new NativeBuffer(tileCount * tileByteCount / sizeof(float));
        MemoryAdvice.UseLargePages(_buffer.Data, _buffer.ByteCount);
        ByteCount = _buffer.ByteCount;
        Operand = new QuantizedWeights((nint)_buffer.Data, groupCount, groupLength);
        pool.For(view.RowCount, QuantizedLayout.TileRowCount, (start, end) => Quantize(view, (byte*)_buffer.Data, tileByteCount, start, end));
    }

    public override long ByteCount { get; }

    public override bool IsMapped => false;

    /// <summary>The matrix as its kernel sees it.</summary>
    protected QuantizedWeights Operand { get; }

    public override void Dispose() => _buffer.Dispose();

    // Places that no row fills keep a scale of zero.
    private void Quantize(MatrixView view, byte* tiles, long tileByteCount, int rowStart, int rowEnd)
    {
        var (groupCount, groupLength) = (InputLayout.GroupCount, InputLayout.GroupLength);
        var values = new float[view.ColumnCount];
        var padded = new float[QuantizedLayout.BlockLength];
        for (var row = rowStart; row < rowEnd; row++)
        {
            TensorElements.Widen(view.Type, view.Data + (row * view.RowByteCount), values);
            var block = tiles + (row / QuantizedLayout.TileRowCount * tileByteCount);
            for (var group = 0; group < groupCount; group++)
            {
                var rest = values.AsSpan(group * groupLength, groupLength);
                while (!rest.IsEmpty)
                {
                    var length = Math.Min(rest.Length, QuantizedLayout.BlockLength);
                    rest[..length].CopyTo(padded);
                    padded.AsSpan(length).Clear();
                    TFormat.Store(padded, row % QuantizedLayout.TileRowCount, block);
                    block += QuantizedLayout.ScalesByteCount + TFormat.BlockByteCount;
                    rest = rest[length..];
                }
            }
        }
    }
}

/// <summary>8 bits a weight.</summary>
internal sealed class Int8Matrix(MatrixView view, int groupCount, ComputePool pool) : QuantizedMatrix<Int8Format>(view, groupCount, pool)
{
    public override void Multiply(KernelSet kernels, in LinearInputs inputs, in LinearOutputs outputs, int rowStart, int rowEnd)
        => kernels.MultiplyInt8(Operand, inputs, outputs, rowStart, rowEnd);
}

/// <summary>4 bits a weight.</summary>
internal sealed class Int4Matrix(MatrixView view, int groupCount, ComputePool pool) : QuantizedMatrix<Int4Format>(view, groupCount, pool)
{
    public override void Multiply(KernelSet kernels, in LinearInputs inputs, in LinearOutputs outputs, int rowStart, int rowEnd)
        => kernels.MultiplyInt4(Operand, inputs, outputs, rowStart, rowEnd);
}
