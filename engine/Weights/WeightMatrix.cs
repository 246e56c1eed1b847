using Distributed.Engine.Checkpoints;
using Distributed.Engine.Kernels;

namespace Distributed.Engine.Weights;

/// <summary>
/// A part of a linear layer's weights, W [row, column], in the format in which it is stored: one class a format, used in place.
/// </summary>
/// <remarks>
/// Columns are divided into canonical groups, more than one only where other ranks hold the rest of the row
/// (<see cref="LinearKernel"/> defines the sum). The memory belongs to the mapped file, which must outlive the matrix.
/// </remarks>
internal abstract class WeightMatrix
{
    private protected WeightMatrix(MatrixView view, int groupCount, int elementSize)
    {
        RowCount = view.RowCount;
        ColumnCount = view.ColumnCount;
        Operand = new LinearWeights(view.Data, view.RowByteCount, groupCount, view.ColumnCount / groupCount);
        InputLayout = new ActivationLayout(groupCount, view.ColumnCount / groupCount, elementSize);
    }

    /// <summary>Rows: outputs of the layer in this part.</summary>
    public int RowCount { get; }

    /// <summary>Columns: inputs of the layer in this part.</summary>
    public int ColumnCount { get; }

    /// <summary>How <see cref="Multiply"/> expects its inputs.</summary>
    public ActivationLayout InputLayout { get; }

    /// <summary>The matrix as its kernel sees it.</summary>
    protected LinearWeights Operand { get; }

    /// <summary>The matrix of a view, in the class of its format.</summary>
    /// <param name="view">The mapped weights.</param>
    /// <param name="groupCount">Canonical groups of these columns, a power of two that divides them.</param>
    public static WeightMatrix Create(MatrixView view, int groupCount = 1)
        => view.Type switch
        {
            TensorType.Float32 => new Float32Matrix(view, groupCount),
            TensorType.BFloat16 => new BFloat16Matrix(view, groupCount),
            TensorType.Float16 => new Float16Matrix(view, groupCount),
            _ => throw new CheckpointException(
                $"Tensor {view.Name} is stored as {view.Type}, which is not among float32, bfloat16 and float16."),
        };

    /// <summary>y[token, row] = sum over columns of W[row, column] * x[token, column], for a range of rows and all tokens.</summary>
    public abstract void Multiply(KernelSet kernels, in LinearInputs inputs, in LinearOutputs outputs, int rowStart, int rowEnd);
}
