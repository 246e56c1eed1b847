using static TorchSharp.torch;

namespace Distributed.Engine.Torch;

/// <summary>Arithmetic that TorchSharp has no one operation for, of operations that all its versions from 0.99 to 0.107 have.</summary>
internal static class TorchMath
{
    /// <summary>x / sqrt(mean(x^2) + epsilon) * weight over the last extent (RMSNorm: Zhang and Sennrich, arXiv:1910.07467).</summary>
    /// <param name="input">[..., n] float32.</param>
    /// <param name="weight">[n], or whatever goes with the input's last extents.</param>
    /// <param name="epsilon">Added to the mean square.</param>
    public static Tensor RmsNorm(Tensor input, Tensor weight, float epsilon)
    {
        var scale = input.mul(input).mean([-1], keepdim: true).add(epsilon).rsqrt();
        return input.mul(scale).mul(weight);
    }
}
