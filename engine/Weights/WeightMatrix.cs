using Distributed.Engine.Checkpoints;
using Distributed.Engine.Kernels;

namespace Distributed.Engine.Weights;

/// <summary>
/// A part of a linear layer's weights, W [row, column], one class a format.
/// </summary>
/// <remarks>
/// Columns are divided into canonical groups, more than one only where other ranks hold the rest of the row
/// (<see cref="LinearKernel"/> defines the sum).
/// </remarks>
internal abstract class WeightMatrix : IDisposable
{
    private protected WeightMatrix(MatrixView view, int groupCount, ActivationForm form)
    {
        RowCount = view.RowCount;
        ColumnCount = view.ColumnCount;
        InputLayout = new ActivationLayout(groupCount, view.ColumnCount / groupCount, form, view.LeadLength);
    }

    /// <summary>Rows: outputs of the layer in this part.</summary>
    public int RowCount { get; }

    /// <summary>Columns: inputs of the layer in this part.</summary>
    public int ColumnCount { get; }

    /// <summary>How <see cref="Multiply"/> expects its inputs.</summary>
    public ActivationLayout InputLayout { get; }

    /// <summary>Bytes of the weights, all of which a token passes through.</summary>
    public abstract long ByteCount { get; }

    /// <summary>Whether the weights are used where the file is mapped, and not copied.</summary>
    public abstract bool IsMapped { get; }

    /// <summary>The matrix of a view, in the class of the format in which it is stored, used in place.</summary>
    /// <param name="view">The mapped weights, which must outlive the matrix.</param>
    /// <param name="groupCount">Canonical groups of these columns, a power of two that divides them.</param>
    /// <param name="products">Multiply bfloat16 weights with activations rounded to bfloat16; <see langword="null"/> where activations stay float32.</param>
    public static WeightMatrix Create(MatrixView view, int groupCount = 1, BFloat16Products? products = null)
        => view.Type switch
        {
            TensorType.Float32 => new Float32Matrix(view, groupCount),
            TensorType.BFloat16 when products is not null => new RoundedBFloat16Matrix(view, groupCount, products),
            TensorType.BFloat16 => new BFloat16Matrix(view, groupCount),
            TensorType.Float16 => new Float16Matrix(view, groupCount),
            TensorType.Int8 => new Int8Matrix(view, groupCount, pool: null),
            TensorType.Int4 => new Int4Matrix(view, groupCount, pool: null),
            _ => throw new CheckpointException(
                $"Tensor {view.Name} is stored as {view.Type}, which no kernel computes with."),
        };

    /// <summary>y[token, row] = sum over columns of W[row, column] * x[token, column], for a range of rows and all tokens.</summary>
    public abstract void Multiply(KernelSet kernels, in LinearInputs inputs, in LinearOutputs outputs, int rowStart, int rowEnd);

    /// <summary>Frees what the matrix owns.</summary>
    public abstract void Dispose();
}
