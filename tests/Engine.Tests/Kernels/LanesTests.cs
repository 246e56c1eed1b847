using Distributed.Engine.Kernels;

namespace Distributed.Engine.Tests.Kernels;

/// <summary>Every implementation of the lanes, called directly, whichever the kernels would choose.</summary>
public sealed unsafe class LanesTests
{
    [Fact]
    public void LoadFloat16_EveryHalf_IsExact() => ForEach(new HalfCheck());

    [Fact]
    public void LoadBFloat16_EveryBFloat16_IsExact() => ForEach(new BFloat16Check());

    [Fact]
    public void Folds_SixteenVectors_GiveTheirLaneTrees() => ForEach(new FoldCheck());

    [Fact]
    public void Arithmetic_AllOperations_MatchScalars() => ForEach(new ArithmeticCheck());

    [Fact]
    public void PowerOfTwo_EveryExponent_IsExact() => ForEach(new PowerCheck());

    private interface ICheck
    {
        void Run<TLanes>()
            where TLanes : unmanaged, ILanes<TLanes>;
    }

    private static void ForEach(ICheck check)
    {
        Run<Lanes512>();
        Run<Lanes256>();
        Run<Lanes128>();
        Run<ScalarLanes>();

        void Run<TLanes>()
            where TLanes : unmanaged, ILanes<TLanes>
        {
            if (TLanes.IsSupported)
            {
                check.Run<TLanes>();
            }
        }
    }

    private static float[] ToArray<TLanes>(TLanes lanes)
        where TLanes : unmanaged, ILanes<TLanes>
    {
        var values = new float[16];
        fixed (float* destination = values)
        {
            TLanes.Store(lanes, destination);
        }

        return values;
    }

    private static TLanes FromArray<TLanes>(float[] values)
        where TLanes : unmanaged, ILanes<TLanes>
    {
        fixed (float* source = values)
        {
            return TLanes.Load(source);
        }
    }

    private sealed class HalfCheck : ICheck
    {
        public void Run<TLanes>()
            where TLanes : unmanaged, ILanes<TLanes>
        {
            var block = stackalloc ushort[32];
            for (var start = 0; start <= ushort.MaxValue; start += 32)
            {
                for (var i = 0; i < 32; i++)
                {
                    block[i] = (ushort)(start + i);
                }

                TLanes.LoadFloat16((byte*)block, out var even, out var odd);
                var (evens, odds) = (ToArray(even), ToArray(odd));
                for (var i = 0; i < 32; i++)
                {
                    var expected = (float)BitConverter.UInt16BitsToHalf(block[i]);
                    var actual = i % 2 == 0 ? evens[i / 2] : odds[i / 2];
                    Assert.True(
                        float.IsNaN(expected) ? float.IsNaN(actual) : BitConverter.SingleToInt32Bits(expected) == BitConverter.SingleToInt32Bits(actual),
                        $"{typeof(TLanes).Name}: 0x{block[i]:X4} is {expected}, not {actual}.");
                }
            }
        }
    }

    private sealed class BFloat16Check : ICheck
    {
        public void Run<TLanes>()
            where TLanes : unmanaged, ILanes<TLanes>
        {
            var block = stackalloc ushort[32];
            for (var start = 0; start <= ushort.MaxValue; start += 32)
            {
                for (var i = 0; i < 32; i++)
                {
                    block[i] = (ushort)(start + i);
                }

                TLanes.LoadBFloat16((byte*)block, out var even, out var odd);
                var (evens, odds) = (KernelData.Bits(ToArray(even)), KernelData.Bits(ToArray(odd)));
                for (var i = 0; i < 32; i++)
                {
                    Assert.Equal(block[i] << 16, i % 2 == 0 ? evens[i / 2] : odds[i / 2]);
                }
            }
        }
    }

    private sealed class FoldCheck : ICheck
    {
        public void Run<TLanes>()
            where TLanes : unmanaged, ILanes<TLanes>
        {
            var vectors = Enumerable.Range(0, 16).Select(i => KernelData.Random(i, 16, magnitude: 10)).ToArray();
            var v = vectors.Select(FromArray<TLanes>).ToArray();

            // Four vectors to a quarter each, then the quarters' lanes.
            TLanes Quarters(int first) => TLanes.Fold4(TLanes.Fold8(v[first], v[first + 1]), TLanes.Fold8(v[first + 2], v[first + 3]));
            var sums = ToArray(TLanes.Fold1(TLanes.Fold2(Quarters(0), Quarters(4)), TLanes.Fold2(Quarters(8), Quarters(12))));

            for (var i = 0; i < 16; i++)
            {
                // Quarter q, lane s: the vector 4 s + q.
                var expected = Oracle.LaneTree(vectors[(4 * (i % 4)) + (i / 4)]);
                Assert.Equal(BitConverter.SingleToInt32Bits(expected), BitConverter.SingleToInt32Bits(sums[i]));
                Assert.Equal(BitConverter.SingleToInt32Bits(Oracle.LaneTree(vectors[i])), BitConverter.SingleToInt32Bits(LaneOperations.Sum(v[i])));
            }
        }
    }

    private sealed class ArithmeticCheck : ICheck
    {
        public void Run<TLanes>()
            where TLanes : unmanaged, ILanes<TLanes>
        {
            float[] special = [0f, -0f, float.NaN, float.PositiveInfinity, float.NegativeInfinity, 1e-45f, float.MaxValue, 1f];
            for (var round = 0; round < 200; round++)
            {
                var random = new Random(round);
                float[] Values() => [.. KernelData.Random(random.Next(), 16, magnitude: 60).Select(value => random.Next(4) == 0 ? special[random.Next(8)] : value)];
                var (x, y, z) = (Values(), Values(), Values());
                var (a, b, c) = (FromArray<TLanes>(x), FromArray<TLanes>(y), FromArray<TLanes>(z));

                Check(ToArray(a + b), i => x[i] + y[i]);
                Check(ToArray(a - b), i => x[i] - y[i]);
                Check(ToArray(a * b), i => x[i] * y[i]);
                Check(ToArray(a / b), i => x[i] / y[i]);
                Check(ToArray(TLanes.FusedMultiplyAdd(a, b, c)), i => MathF.FusedMultiplyAdd(x[i], y[i], z[i]));
                Check(ToArray(TLanes.Greater(a, b)), i => x[i] > y[i] ? x[i] : y[i]);
                Check(ToArray(TLanes.Lesser(a, b)), i => x[i] < y[i] ? x[i] : y[i]);
                Assert.Equal(BitConverter.SingleToInt32Bits(x[0]), BitConverter.SingleToInt32Bits(TLanes.First(a)));

                void Check(float[] actual, Func<int, float> expected)
                {
                    for (var i = 0; i < 16; i++)
                    {
                        var value = expected(i);
                        Assert.True(
                            float.IsNaN(value) ? float.IsNaN(actual[i]) : BitConverter.SingleToInt32Bits(value) == BitConverter.SingleToInt32Bits(actual[i]),
                            $"{typeof(TLanes).Name} with {x[i]}, {y[i]}, {z[i]}: {value} but {actual[i]}.");
                    }
                }
            }
        }
    }

    private sealed class PowerCheck : ICheck
    {
        public void Run<TLanes>()
            where TLanes : unmanaged, ILanes<TLanes>
        {
            for (var exponent = -126; exponent <= 127; exponent++)
            {
                Assert.All(ToArray(TLanes.PowerOfTwo(TLanes.Create(exponent))), value => Assert.Equal(MathF.ScaleB(1f, exponent), value));
            }
        }
    }
}
