using Distributed.Engine.Checkpoints;
using Distributed.Engine.Kernels;

namespace Distributed.Engine.Weights;

/// <summary>Weights stored as bfloat16, the upper half of a binary32.</summary>
internal sealed class BFloat16Matrix(MappedTensor tensor, int rowCount, int columnCount, int groupCount)
    : WeightMatrix(tensor, rowCount, columnCount, groupCount, sizeof(ushort))
{
    public override void Multiply(KernelSet kernels, in LinearInputs inputs, in LinearOutputs outputs, int rowStart, int rowEnd)
        => kernels.MultiplyBFloat16(Operand, inputs, outputs, rowStart, rowEnd);

    public override void ReadRow(int row, Span<float> destination)
        => WeightElements.Widen(TensorType.BFloat16, Operand.Data + (row * RowByteCount), destination);
}
