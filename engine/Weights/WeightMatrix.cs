using Distributed.Engine.Checkpoints;
using Distributed.Engine.Kernels;

namespace Distributed.Engine.Weights;

/// <summary>
/// A rank's part of a linear layer's weights, W [row, column], in the format in which it is stored: one class a format, used in place.
/// </summary>
/// <remarks>
/// Columns are divided into canonical groups, more than one only where other ranks hold the rest of the row
/// (<see cref="LinearKernel"/> defines the sum). The memory belongs to the mapped shard, which must outlive the matrix.
/// </remarks>
internal abstract class WeightMatrix
{
    private protected WeightMatrix(MappedTensor tensor, int rowCount, int columnCount, int groupCount, int elementSize)
    {
        if (tensor.Shape.Length != 2 || tensor.Shape[0] != rowCount || tensor.Shape[1] != columnCount)
        {
            throw new CheckpointException(
                $"Tensor {tensor.Name} is [{string.Join(", ", tensor.Shape)}] but this rank needs [{rowCount}, {columnCount}]; " +
                "the checkpoint belongs to another model or world size.");
        }

        RowCount = rowCount;
        ColumnCount = columnCount;
        RowByteCount = (nint)columnCount * elementSize;
        Operand = new LinearWeights(tensor.Data, RowByteCount, groupCount, columnCount / groupCount);
        InputLayout = new ActivationLayout(groupCount, columnCount / groupCount, elementSize);
    }

    /// <summary>Rows: outputs of the layer on this rank.</summary>
    public int RowCount { get; }

    /// <summary>Columns: inputs of the layer on this rank.</summary>
    public int ColumnCount { get; }

    /// <summary>How <see cref="Multiply"/> expects its inputs.</summary>
    public ActivationLayout InputLayout { get; }

    /// <summary>Bytes of a row.</summary>
    protected nint RowByteCount { get; }

    /// <summary>The matrix as its kernel sees it.</summary>
    protected LinearWeights Operand { get; }

    /// <summary>The part of <paramref name="tensor"/> as a matrix of its format.</summary>
    /// <param name="tensor">The mapped weights, all of them this rank's.</param>
    /// <param name="rowCount">Rows that the plan gives this rank.</param>
    /// <param name="columnCount">Columns that the plan gives this rank.</param>
    /// <param name="groupCount">Canonical groups of this rank's columns, a power of two that divides them.</param>
    /// <exception cref="CheckpointException">The tensor has another shape.</exception>
    public static WeightMatrix Create(MappedTensor tensor, int rowCount, int columnCount, int groupCount = 1)
        => tensor.Type switch
        {
            TensorType.Float32 => new Float32Matrix(tensor, rowCount, columnCount, groupCount),
            TensorType.BFloat16 => new BFloat16Matrix(tensor, rowCount, columnCount, groupCount),
            TensorType.Float16 => new Float16Matrix(tensor, rowCount, columnCount, groupCount),
            _ => throw new CheckpointException(
                $"Tensor {tensor.Name} is stored as {tensor.Type}, which is not among float32, bfloat16 and float16."),
        };

    /// <summary>y[token, row] = sum over columns of W[row, column] * x[token, column], for a range of rows and all tokens.</summary>
    public abstract void Multiply(KernelSet kernels, in LinearInputs inputs, in LinearOutputs outputs, int rowStart, int rowEnd);

    /// <summary>Widens a row to float32: an embedding.</summary>
    /// <param name="row">The row.</param>
    /// <param name="destination">[ColumnCount]</param>
    public abstract void ReadRow(int row, Span<float> destination);
}
