using Distributed.Engine.Checkpoints;
using Distributed.Engine.Kernels;

namespace Distributed.Engine.Weights;

/// <summary>Weights stored as IEEE 754 binary32.</summary>
internal sealed class Float32Matrix(MappedTensor tensor, int rowCount, int columnCount, int groupCount)
    : WeightMatrix(tensor, rowCount, columnCount, groupCount, sizeof(float))
{
    public override void Multiply(KernelSet kernels, in LinearInputs inputs, in LinearOutputs outputs, int rowStart, int rowEnd)
        => kernels.MultiplyFloat32(Operand, inputs, outputs, rowStart, rowEnd);

    public override unsafe void ReadRow(int row, Span<float> destination)
        => WeightElements.Widen(TensorType.Float32, Operand.Data + (row * RowByteCount), destination);
}
