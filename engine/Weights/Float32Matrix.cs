using Distributed.Engine.Checkpoints;
using Distributed.Engine.Kernels;

namespace Distributed.Engine.Weights;

/// <summary>Weights stored as IEEE 754 binary32.</summary>
internal sealed class Float32Matrix(MatrixView view, int groupCount) : StoredMatrix(view, groupCount, ActivationForm.InOrder, sizeof(float))
{
    public override void Multiply(KernelSet kernels, in LinearInputs inputs, in LinearOutputs outputs, int rowStart, int rowEnd)
        => kernels.MultiplyFloat32(Operand, inputs, outputs, rowStart, rowEnd);
}
