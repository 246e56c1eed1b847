using Distributed.Engine.Checkpoints;
using Distributed.Engine.Kernels;

namespace Distributed.Engine.Weights;

/// <summary>Weights stored as bfloat16, the upper half of a binary32.</summary>
internal sealed class BFloat16Matrix(MatrixView view, int groupCount) : StoredMatrix(view, groupCount, ActivationForm.Pairs, sizeof(ushort))
{
    public override void Multiply(KernelSet kernels, in LinearInputs inputs, in LinearOutputs outputs, int rowStart, int rowEnd)
        => kernels.MultiplyBFloat16(Operand, inputs, outputs, rowStart, rowEnd);
}

/// <summary>The same weights, of whose products activations are rounded to bfloat16 too.</summary>
internal sealed class RoundedBFloat16Matrix(MatrixView view, int groupCount, BFloat16Products products)
    : StoredMatrix(view, groupCount, products.Form, sizeof(ushort))
{
    public override void Multiply(KernelSet kernels, in LinearInputs inputs, in LinearOutputs outputs, int rowStart, int rowEnd)
        => products.Multiply(Operand, inputs, outputs, rowStart, rowEnd);
}
