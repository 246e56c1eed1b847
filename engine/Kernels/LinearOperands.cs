namespace Distributed.Engine.Kernels;

/// <summary>The weights of a linear layer as its kernel reads them: W [row, group, element], in place.</summary>
/// <param name="Data">Row 0; any alignment.</param>
/// <param name="RowByteCount">Bytes from a row to the next.</param>
/// <param name="GroupCount">Canonical groups in a row, a power of two; 1 where the layer's input is not split.</param>
/// <param name="GroupLength">Elements of a group.</param>
internal readonly record struct LinearWeights(nint Data, nint RowByteCount, int GroupCount, int GroupLength);

/// <summary>Activations arranged for a kernel: x [token, group, element], each group padded with zeros to whole blocks.</summary>
/// <param name="Data">Token 0.</param>
/// <param name="TokenStride">Floats from a token to the next.</param>
/// <param name="TokenCount">Tokens.</param>
internal readonly unsafe record struct LinearInputs(nint Data, nint TokenStride, int TokenCount)
{
    /// <summary>The activations of <paramref name="token"/>.</summary>
    public float* Token(int token) => (float*)Data + (token * TokenStride);
}

/// <summary>Where the products go: y [token, row].</summary>
/// <param name="Data">Token 0, row 0.</param>
/// <param name="TokenStride">Floats from a token to the next.</param>
internal readonly unsafe record struct LinearOutputs(nint Data, nint TokenStride)
{
    /// <summary>The outputs of <paramref name="token"/>.</summary>
    public float* Token(int token) => (float*)Data + (token * TokenStride);
}
