using Distributed.Engine.Kernels;

namespace Distributed.Engine.Tests.Kernels;

public sealed unsafe class ElementwiseKernelTests
{
    private static readonly int[] Lengths = [1, 7, 15, 16, 17, 31, 32, 33, 48, 64, 100];

    public static TheoryData<string> Sets => KernelData.Sets;

    [Theory]
    [MemberData(nameof(Sets))]
    public void RmsNorm_AllLengths_HasBitsOfDefinition(string set)
    {
        foreach (var length in Lengths)
        {
            var (x, weight) = (KernelData.Random(length, length), KernelData.Random(length + 1, length));
            using var nativeX = KernelData.Native(x);
            using var nativeWeight = KernelData.Native(weight);
            using var y = new NativeBuffer(length);

            KernelData.Set(set).RmsNorm(nativeX.Data, nativeWeight.Data, y.Data, length, 1e-5f);

            Assert.Equal(KernelData.Bits(Oracle.RmsNorm(x, weight, 1e-5f)), KernelData.Bits(KernelData.ToArray(y, length)));
        }
    }

    [Theory]
    [MemberData(nameof(Sets))]
    public void SwiGlu_AllLengths_HasBitsOfDefinition(string set)
    {
        foreach (var length in Lengths)
        {
            var (gate, up) = (KernelData.Random(length, length, magnitude: 7), KernelData.Random(length + 1, length));
            using var nativeGate = KernelData.Native(gate);
            using var nativeUp = KernelData.Native(up);

            KernelData.Set(set).SwiGlu(nativeGate.Data, nativeUp.Data, nativeGate.Data, length);

            var expected = gate.Select((value, i) => value / (1f + Oracle.Exp(0f - value)) * up[i]).ToArray();
            Assert.Equal(KernelData.Bits(expected), KernelData.Bits(KernelData.ToArray(nativeGate, length)));
        }
    }

    [Theory]
    [MemberData(nameof(Sets))]
    public void SwiGlu_LargeGates_AreTheirLimits(string set)
    {
        using var gate = KernelData.Native([1e4f, -1e4f, 0f, 88.7f, -88.7f]);
        using var up = KernelData.Native([2f, 2f, 2f, 1f, 1f]);

        KernelData.Set(set).SwiGlu(gate.Data, up.Data, gate.Data, 5);

        var result = KernelData.ToArray(gate, 5);
        Assert.Equal(2e4f, result[0]);
        Assert.Equal(0f, result[1]);
        Assert.Equal(0f, result[2]);
        Assert.Equal(88.7f, result[3]);
        Assert.InRange(result[4], -1e-36f, 0f);
    }

    [Theory]
    [MemberData(nameof(Sets))]
    public void Add_AllLengths_AddsEachElement(string set)
    {
        foreach (var length in Lengths)
        {
            var (x, y) = (KernelData.Random(length, length), KernelData.Random(length + 1, length));
            using var nativeX = KernelData.Native(x);
            using var nativeY = KernelData.Native(y);

            KernelData.Set(set).Add(nativeX.Data, nativeY.Data, length);

            Assert.Equal(x.Select((value, i) => value + y[i]), KernelData.ToArray(nativeX, length));
            Assert.True(float.IsNaN(nativeX.Data[length]));
        }
    }

    [Theory]
    [MemberData(nameof(Sets))]
    public void IsFinite_OneBadElementAnywhere_IsFound(string set)
    {
        foreach (var length in Lengths)
        {
            // The sum of these overflows; each of them is finite all the same.
            using var x = KernelData.Native(Enumerable.Repeat(float.MaxValue, length).ToArray());
            Assert.True(KernelData.Set(set).IsFinite(x.Data, length));
            for (var place = 0; place < length; place++)
            {
                foreach (var bad in (ReadOnlySpan<float>)[float.NaN, float.PositiveInfinity, float.NegativeInfinity])
                {
                    x.Data[place] = bad;
                    Assert.False(KernelData.Set(set).IsFinite(x.Data, length));
                    x.Data[place] = -1f;
                }
            }
        }
    }
}
