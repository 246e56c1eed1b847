using Distributed.Engine.Checkpoints;
using Distributed.Engine.Model;

namespace Distributed.Engine.Tests.Model;

public sealed unsafe class RotaryEmbeddingTests
{
    private static readonly LlamaConfig Config = new()
    {
        Dimension = 256,
        LayerCount = 1,
        HeadCount = 4,
        KeyValueHeadCount = 4,
        HiddenDimension = 64,
        VocabularySize = 32,
        NormEpsilon = 1e-5f,
        RopeTheta = 500000f,
    };

    [Fact]
    public void Rotate_EveryPosition_TurnsAdjacentPairsByItsAngle()
    {
        var rotary = new RotaryEmbedding(Config);
        foreach (var position in (int[])[0, 1, 77, 4000])
        {
            var head = Enumerable.Range(0, 64).Select(i => (float)Math.Cos(i * 0.7)).ToArray();
            var rotated = Rotate(rotary, head, position);
            for (var pair = 0; pair < 32; pair++)
            {
                var angle = position * Math.Pow(500000, -2.0 * pair / 64);
                Assert.Equal((head[2 * pair] * Math.Cos(angle)) - (head[(2 * pair) + 1] * Math.Sin(angle)), rotated[2 * pair], 5e-4);
                Assert.Equal((head[2 * pair] * Math.Sin(angle)) + (head[(2 * pair) + 1] * Math.Cos(angle)), rotated[(2 * pair) + 1], 5e-4);
            }
        }
    }

    /// <summary>
    /// Frequencies after meta-llama/llama-models, apply_scaling: kept up to a wavelength of 2048, divided by the factor from 8192, mixed between.
    /// </summary>
    [Theory]
    [InlineData(8f)]
    [InlineData(32f)]
    public void Rotate_ScaledFrequencies_StretchesLongWavelengthsOnly(float factor)
    {
        var plain = new RotaryEmbedding(Config);
        var scaled = new RotaryEmbedding(Config with { RopeScalingFactor = factor });
        var (kept, divided, mixed) = (0, 0, 0);
        for (var pair = 0; pair < 32; pair++)
        {
            var wavelength = 2 * Math.PI * Math.Pow(500000, 2.0 * pair / 64);
            var ratio = AngleOfOne(plain, pair) / AngleOfOne(scaled, pair);
            if (wavelength < 2048)
            {
                kept++;
                Assert.Equal(1, ratio, 1e-5);
            }
            else if (wavelength > 8192)
            {
                divided++;
                Assert.Equal(factor, ratio, 1e-3 * factor);
            }
            else
            {
                mixed++;
                var smooth = ((8192 / wavelength) - 1) / 3;
                Assert.Equal(1 / (((1 - smooth) / factor) + smooth), ratio, 1e-3);
            }
        }

        Assert.True(kept > 5 && divided > 5 && mixed > 0);
    }

    private static double AngleOfOne(RotaryEmbedding rotary, int pair)
    {
        var head = new float[64];
        head[2 * pair] = 1;
        var rotated = Rotate(rotary, head, 1);
        return Math.Atan2(rotated[(2 * pair) + 1], rotated[2 * pair]);
    }

    private static float[] Rotate(RotaryEmbedding rotary, float[] head, int position)
    {
        var rotated = new float[head.Length];
        var rotations = new float[2 * rotary.PairCount];
        fixed (float* source = head, destination = rotated, angles = rotations)
        {
            rotary.ComputeRotations(position, angles);
            rotary.Rotate(source, angles, destination);
        }

        return rotated;
    }
}
