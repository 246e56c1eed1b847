namespace Distributed.Engine.Kernels;

/// <summary>
/// y[token, row] = sum over groups, by the group tree, of sum over k of W[row, group, k] * x[token, group, k], where W is bfloat16 and x is rounded to it:
/// the products of <see cref="MatmulPrecision.Medium"/>.
/// </summary>
/// <remarks>
/// The sum is that of <see cref="LinearKernel"/> but for what the instruction VDPBF16PS does, by its definition in Intel's manual, which AMD's processors follow to
/// the bit: of the two elements that a lane takes of a block the odd one comes first, each by one fused multiply-add; an operand that is denormal counts as
/// zero, and so does a sum whose magnitude, rounded to 24 bits as if exponents had no end, is below 2^-126; the sign stays. The lane tree and the group tree are plain additions.
/// </remarks>
internal abstract unsafe class BFloat16Products
{
    /// <summary>What computes, in a few words for the user.</summary>
    public abstract string Name { get; }

    /// <summary>How the activations lie.</summary>
    public abstract ActivationForm Form { get; }

    /// <summary>Computes the outputs of rows [<paramref name="rowStart"/>, <paramref name="rowEnd"/>) for all tokens.</summary>
    public abstract void Multiply(in LinearWeights weights, in LinearInputs inputs, in LinearOutputs outputs, int rowStart, int rowEnd);
}
