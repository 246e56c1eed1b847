using Distributed.Engine.Checkpoints;
using Distributed.Engine.Kernels;

namespace Distributed.Engine.Weights;

/// <summary>Weights in the format in which they are stored, in place: the memory belongs to the mapped file, which must outlive the matrix.</summary>
internal abstract class StoredMatrix(MatrixView view, int groupCount, ActivationForm form, int elementSize) : WeightMatrix(view, groupCount, form)
{
    public override long ByteCount => (long)RowCount * ColumnCount * elementSize;

    public override bool IsMapped => true;

    public override void Dispose()
    {
        // nothing is its own
    }

    /// <summary>The matrix as its kernel sees it.</summary>
    protected LinearWeights Operand { get; } = new(view.Data, view.RowByteCount, groupCount, view.ColumnCount / groupCount);
}
