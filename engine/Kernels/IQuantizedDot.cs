using System.Runtime.Intrinsics;

namespace Distributed.Engine.Kernels;

/// <summary>
/// Integer dot products of one block of eight interleaved rows with one block of activations. They are exact, so every implementation gives the
/// same numbers.
/// </summary>
internal unsafe interface IQuantizedDot
{
    /// <summary>Whether this machine runs the implementation.</summary>
    static abstract bool IsSupported { get; }

    /// <summary>Whether <see cref="QuantizedTokens{TFormat}"/> computes where there are several tokens.</summary>
    static virtual bool TakesTokens => false;

    /// <summary>Lane r: the sum over k of q[r, k] x[k], of 8-bit weights.</summary>
    /// <param name="weights">The block's eight vectors.</param>
    /// <param name="x">32 activations from -127 to 127.</param>
    /// <param name="minusSum">Minus their sum.</param>
    static abstract Vector256<int> Int8(byte* weights, sbyte* x, int minusSum);

    /// <summary>Lane r: the sum over k of q[r, k] x[k], of 4-bit weights.</summary>
    /// <param name="weights">The block's four vectors.</param>
    /// <param name="x">32 activations from -127 to 127.</param>
    /// <param name="minusSum">Minus their sum.</param>
    static abstract Vector256<int> Int4(byte* weights, sbyte* x, int minusSum);
}
