using Distributed.Engine.Checkpoints;
using Distributed.Engine.Kernels;

namespace Distributed.Engine.Weights;

/// <summary>Weights stored as IEEE 754 binary16.</summary>
internal sealed class Float16Matrix(MatrixView view, int groupCount) : StoredMatrix(view, groupCount, ActivationForm.Pairs, sizeof(ushort))
{
    public override void Multiply(KernelSet kernels, in LinearInputs inputs, in LinearOutputs outputs, int rowStart, int rowEnd)
        => kernels.MultiplyFloat16(Operand, inputs, outputs, rowStart, rowEnd);
}
