using Distributed.Engine.Checkpoints;
using Distributed.Engine.Kernels;

namespace Distributed.Engine.Model;

/// <summary>
/// Rotary position embedding in Meta's form: the pair (2i, 2i + 1) of a head turns by position x theta^(-2i / width) (Su et al.,
/// arXiv:2104.09864), frequencies and angles rounded to float32 as the reference has them.
/// </summary>
internal sealed unsafe class RotaryEmbedding
{
    // Llama 3.1's constants (meta-llama/llama-models, apply_scaling): wavelengths beyond the old context are stretched by the factor,
    // short ones are kept, and those between are mixed.
    private const float LowFrequencyFactor = 1f;
    private const float HighFrequencyFactor = 4f;
    private const float OldContextLength = 8192f;

    private readonly float[] _frequencies; // [pair]

    public RotaryEmbedding(LlamaConfig config)
    {
        _frequencies = new float[config.HeadDimension / 2];
        for (var pair = 0; pair < _frequencies.Length; pair++)
        {
            // Double precision, then one rounding: the same bits whatever the system's libm.
            var exponent = (float)(2 * pair) / config.HeadDimension;
            var frequency = 1f / (float)Math.Pow(config.RopeTheta, exponent);
            _frequencies[pair] = config.RopeScalingFactor == 1f ? frequency : Scale(frequency, config.RopeScalingFactor);
        }
    }

    /// <summary>Pairs of a head.</summary>
    public int PairCount => _frequencies.Length;

    /// <summary>Writes cosine and sine of every pair's angle at <paramref name="position"/>.</summary>
    /// <param name="position">From 0.</param>
    /// <param name="rotations">[pair, 2]: cosine, sine.</param>
    public void ComputeRotations(int position, float* rotations)
    {
        for (var pair = 0; pair < _frequencies.Length; pair++)
        {
            var (sine, cosine) = Math.SinCos(position * _frequencies[pair]);
            rotations[2 * pair] = (float)cosine;
            rotations[(2 * pair) + 1] = (float)sine;
        }
    }

    /// <inheritdoc cref="RotaryKernel.Rotate"/>
    public void Rotate(float* head, float* rotations, float* rotated) => RotaryKernel.Rotate(head, rotations, rotated, PairCount);

    private static float Scale(float frequency, float factor)
    {
        var wavelength = 2f * MathF.PI / frequency;
        if (wavelength < OldContextLength / HighFrequencyFactor)
        {
            return frequency;
        }

        if (wavelength > OldContextLength / LowFrequencyFactor)
        {
            return frequency / factor;
        }

        var smooth = ((OldContextLength / wavelength) - LowFrequencyFactor) / (HighFrequencyFactor - LowFrequencyFactor);
        return ((1f - smooth) * frequency / factor) + (smooth * frequency);
    }
}
