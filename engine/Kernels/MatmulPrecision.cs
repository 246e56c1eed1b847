namespace Distributed.Engine.Kernels;

/// <summary>What products of bfloat16 weights with activations are computed from, in the words of torch.set_float32_matmul_precision.</summary>
public enum MatmulPrecision
{
    /// <summary>Activations in float32, as they are computed.</summary>
    Highest,

    /// <summary>
    /// Activations rounded to bfloat16, as the processor's bfloat16 dot products take them; sums stay float32. <see cref="BFloat16Products"/> has the definition.
    /// </summary>
    Medium,
}
