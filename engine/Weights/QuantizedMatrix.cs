using Distributed.Engine.Checkpoints;
using Distributed.Engine.Kernels;

namespace Distributed.Engine.Weights;

/// <summary>
/// Weights in blocks of 32 with a scale each: in place where the checkpoint was converted to them, else quantised while loading into memory of
/// the matrix's own, after which the file is not needed any more. Both have the same bits.
/// </summary>
/// <typeparam name="TFormat">8 or 4 bits.</typeparam>
internal abstract unsafe class QuantizedMatrix<TFormat> : WeightMatrix
    where TFormat : struct, IQuantizedFormat
{
    private readonly NativeBuffer? _buffer;
    private readonly QuantizedWeights _weights;
    private readonly int _firstRow; // in the first tile, where another rank's rows may come before

    private protected QuantizedMatrix(MatrixView view, int groupCount, ComputePool? pool)
        : base(view, groupCount, ActivationForm.Quantized)
    {
        var groupLength = InputLayout.LeadLength + InputLayout.GroupLength;
        var tileByteCount = groupCount * (nint)QuantizedLayout.BlockCount(groupLength) * (QuantizedLayout.ScalesByteCount + TFormat.BlockByteCount);
        _firstRow = view.FirstRow;
        ByteCount = QuantizedLayout.TileCount(_firstRow + view.RowCount) * (long)tileByteCount;
        if (pool is null)
        {
            _weights = new QuantizedWeights(view.Data, view.RowByteCount, groupCount, groupLength);
            return;
        }

        _buffer = new NativeBuffer(ByteCount / sizeof(float));
        MemoryAdvice.UseLargePages(_buffer.Data, _buffer.ByteCount);
        _weights = new QuantizedWeights((nint)_buffer.Data, tileByteCount, groupCount, groupLength);
        pool.For(view.RowCount, QuantizedLayout.TileRowCount, (start, end) => Quantize(view, (byte*)_buffer.Data, tileByteCount, start, end));
    }

    public override long ByteCount { get; }

    public override bool IsMapped => _buffer is null;

    public override void Dispose() => _buffer?.Dispose();

    // Rows are counted from the first tile's first one.
    public override void Multiply(KernelSet kernels, in LinearInputs inputs, in LinearOutputs outputs, int rowStart, int rowEnd)
    {
        var shifted = new LinearOutputs((nint)((float*)outputs.Data - _firstRow), outputs.TokenStride);
        Multiply(kernels, _weights, inputs, shifted, _firstRow + rowStart, _firstRow + rowEnd);
    }

    /// <summary>The kernel of the format.</summary>
    protected abstract void Multiply(
        KernelSet kernels, in QuantizedWeights weights, in LinearInputs inputs, in LinearOutputs outputs, int rowStart, int rowEnd);

    private void Quantize(MatrixView view, byte* tiles, nint tileByteCount, int rowStart, int rowEnd)
    {
        var values = new float[view.ColumnCount];
        for (var row = rowStart; row < rowEnd; row++)
        {
            TensorElements.Widen(view.Type, view.Data + (row * view.RowByteCount), values);
            var tile = tiles + (row / QuantizedLayout.TileRowCount * tileByteCount);
            TileQuantizer.Store<TFormat>(values, InputLayout.GroupLength, row % QuantizedLayout.TileRowCount, tile);
        }
    }
}

/// <summary>8 bits a weight.</summary>
/// <param name="view">Weights to quantise, or, without a pool, tiles in place.</param>
/// <param name="groupCount">Canonical groups of these columns.</param>
/// <param name="pool">Quantises; <see langword="null"/> where that was done.</param>
internal sealed class Int8Matrix(MatrixView view, int groupCount, ComputePool? pool) : QuantizedMatrix<Int8Format>(view, groupCount, pool)
{
    protected override void Multiply(
        KernelSet kernels, in QuantizedWeights weights, in LinearInputs inputs, in LinearOutputs outputs, int rowStart, int rowEnd)
        => kernels.MultiplyInt8(weights, inputs, outputs, rowStart, rowEnd);
}

/// <summary>4 bits a weight.</summary>
/// <inheritdoc cref="Int8Matrix"/>
internal sealed class Int4Matrix(MatrixView view, int groupCount, ComputePool? pool) : QuantizedMatrix<Int4Format>(view, groupCount, pool)
{
    protected override void Multiply(
        KernelSet kernels, in QuantizedWeights weights, in LinearInputs inputs, in LinearOutputs outputs, int rowStart, int rowEnd)
        => kernels.MultiplyInt4(weights, inputs, outputs, rowStart, rowEnd);
}
