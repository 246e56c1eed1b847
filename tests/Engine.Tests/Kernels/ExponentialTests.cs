using Distributed.Engine.Kernels;

namespace Distributed.Engine.Tests.Kernels;

public sealed unsafe class ExponentialTests
{
    [Fact]
    public void Exp_DenseSample_IsWithinOneUlp()
    {
        var worst = 0.0;
        for (var bits = 0; bits < 0x42B20000; bits += 211)
        {
            foreach (var x in (ReadOnlySpan<float>)[BitConverter.Int32BitsToSingle(bits), -BitConverter.Int32BitsToSingle(bits)])
            {
                var exact = Math.Exp(x);
                if (exact is <= float.MaxValue and >= 1.17549435e-38)
                {
                    worst = Math.Max(worst, Math.Abs(Exponential.Exp(x) - exact) / UlpOf((float)exact));
                }
            }
        }

        Assert.InRange(worst, 0.5, 1.0);
    }

    [Fact]
    public void Exp_SmallResults_AreWithinTwoSubnormals()
    {
        for (var x = -104.5f; x < -87f; x += 0.001f)
        {
            Assert.InRange(Exponential.Exp(x) - Math.Exp(x), -2 * float.Epsilon, 2 * float.Epsilon);
        }
    }

    [Theory]
    [InlineData(0f, 1f)]
    [InlineData(float.NegativeInfinity, 0f)]
    [InlineData(-104f, 0f)]
    [InlineData(-1e4f, 0f)]
    [InlineData(float.MinValue, 0f)]
    [InlineData(89f, float.PositiveInfinity)]
    [InlineData(1e4f, float.PositiveInfinity)]
    [InlineData(float.PositiveInfinity, float.PositiveInfinity)]
    [InlineData(float.NaN, float.NaN)]
    public void Exp_SpecialValues_AreExact(float x, float expected) => Assert.Equal(expected, Exponential.Exp(x));

    [Fact]
    public void Exp_Lanes_HaveTheBitsOfTheScalar()
    {
        Check<Lanes512>();
        Check<Lanes256>();
        Check<Lanes128>();
        Check<ScalarLanes>();
    }

    private static void Check<TLanes>()
        where TLanes : unmanaged, ILanes<TLanes>
    {
        if (!TLanes.IsSupported)
        {
            return;
        }

        var random = new Random(7);
        var x = stackalloc float[16];
        var y = stackalloc float[16];
        for (var round = 0; round < 5_000; round++)
        {
            for (var i = 0; i < 16; i++)
            {
                x[i] = round % 2 == 0 ? (float)((random.NextDouble() * 240) - 130) : BitConverter.Int32BitsToSingle(random.Next(int.MinValue, int.MaxValue));
            }

            TLanes.Store(Exponential.Exp(TLanes.Load(x)), y);
            for (var i = 0; i < 16; i++)
            {
                var expected = Exponential.Exp(x[i]);
                Assert.True(
                    float.IsNaN(expected) ? float.IsNaN(y[i]) : BitConverter.SingleToInt32Bits(expected) == BitConverter.SingleToInt32Bits(y[i]),
                    $"{typeof(TLanes).Name}: exp({x[i]}) is {expected}, not {y[i]}.");
            }
        }
    }

    private static double UlpOf(float value) => (double)MathF.BitIncrement(value) - value;
}
