using Distributed.Engine.Checkpoints;
using Distributed.Engine.Kernels;

namespace Distributed.Engine.Model;

/// <summary>
/// Rotary position embedding: pair i of a head turns by position x theta^(-2i / width) (Su et al., arXiv:2104.09864), frequencies and
/// angles rounded to float32 as the reference has them.
/// </summary>
/// <remarks>
/// Meta stores the two elements of a pair side by side, Hugging Face half a head apart. What is turned is written in Meta's order either
/// way, so the same model has the same bits from both.
/// </remarks>
internal sealed unsafe class RotaryEmbedding
{
    private readonly float[] _frequencies; // [pair]
    private readonly bool _halves;

    public RotaryEmbedding(LlamaConfig config)
    {
        _halves = config.RotatesHalves;
        _frequencies = new float[config.HeadDimension / 2];
        for (var pair = 0; pair < _frequencies.Length; pair++)
        {
            // Double precision, then one rounding: the same bits whatever the system's libm.
            var exponent = (float)(2 * pair) / config.HeadDimension;
            var frequency = 1f / (float)Math.Pow(config.RopeTheta, exponent);
            _frequencies[pair] = config switch
            {
                { RopeScalingFactor: 1f } => frequency,
                { RopeScaling: RopeScalingKind.Linear } => frequency / config.RopeScalingFactor,
                _ => Scale(frequency, config),
            };
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
    public void Rotate(float* head, float* rotations, float* rotated)
    {
        if (_halves)
        {
            RotaryKernel.RotateHalves(head, rotations, rotated, PairCount);
        }
        else
        {
            RotaryKernel.Rotate(head, rotations, rotated, PairCount);
        }
    }

    // meta-llama/llama-models, apply_scaling: wavelengths beyond the old context are stretched by the factor, short ones are kept, and those
    // between are mixed.
    private static float Scale(float frequency, LlamaConfig config)
    {
        var (factor, oldContextLength) = (config.RopeScalingFactor, config.RopeOldContextLength);
        var (low, high) = (config.RopeLowFrequencyFactor, config.RopeHighFrequencyFactor);
        var wavelength = 2f * MathF.PI / frequency;
        if (wavelength < oldContextLength / high)
        {
            return frequency;
        }

        if (wavelength > oldContextLength / low)
        {
            return frequency / factor;
        }

        var smooth = ((oldContextLength / wavelength) - low) / (high - low);
        return ((1f - smooth) * frequency / factor) + (smooth * frequency);
    }
}
