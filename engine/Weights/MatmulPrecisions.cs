using Distributed.Engine.Checkpoints;
using Distributed.Engine.Kernels;

namespace Distributed.Engine.Weights;

/// <summary>What a precision means for a checkpoint.</summary>
public static class MatmulPrecisions
{
    /// <summary>Refuses what <see cref="MatmulPrecision.Medium"/> has no products for: all but weights in bfloat16, in place.</summary>
    /// <param name="checkpoint">Any.</param>
    /// <param name="precision">What is asked for.</param>
    /// <param name="format">What else is asked for.</param>
    /// <exception cref="CheckpointException">The weights are something else; the message says what to do.</exception>
    public static void Require(CheckpointSource checkpoint, MatmulPrecision precision, WeightFormat format)
    {
        ArgumentNullException.ThrowIfNull(checkpoint);
        if (precision == MatmulPrecision.Highest)
        {
            return;
        }

        using var mapped = checkpoint.Map();
        Require(checkpoint.Quantization ?? mapped[LlamaTensors.FirstMatrix].Type, precision, format);
    }

    /// <summary>As the public one.</summary>
    /// <param name="type">How the matrices are stored, all alike.</param>
    /// <param name="precision">What is asked for.</param>
    /// <param name="format">What else is asked for.</param>
    internal static void Require(TensorType type, MatmulPrecision precision, WeightFormat format)
    {
        if (precision == MatmulPrecision.Highest)
        {
            return;
        }

        if (format != WeightFormat.Stored)
        {
            var name = Lower(format);
            throw new CheckpointException($"--matmul-precision medium is for weights in bfloat16, and --dtype {name} makes them {name}; leave one of them out.");
        }

        if (type != TensorType.BFloat16)
        {
            throw new CheckpointException($"--matmul-precision medium is for weights in bfloat16, and this checkpoint's are {Lower(type)}; leave it out.");
        }
    }

    private static string Lower<T>(T value)
        where T : struct, Enum
        => value.ToString().ToLowerInvariant();
}
