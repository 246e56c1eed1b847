using Distributed.Engine.Kernels;

namespace Distributed.Engine.Tests.Kernels;

public sealed unsafe class ActivationLayoutTests
{
    [Theory]
    [InlineData(1, 64, 4)]
    [InlineData(4, 43, 4)]
    [InlineData(1, 96, 2)]
    [InlineData(4, 43, 2)]
    [InlineData(8, 1, 2)]
    [InlineData(2, 16, 2)]
    public void Arrange_AnyGroups_PutsEachElementInItsLaneAndZerosBehind(int groupCount, int groupLength, int elementSize)
    {
        var layout = new ActivationLayout(groupCount, groupLength, elementSize == 4 ? ActivationForm.InOrder : ActivationForm.Pairs);
        var values = Enumerable.Range(1, groupCount * groupLength).Select(i => (float)i).ToArray();
        using var source = KernelData.Native(values);
        using var destination = KernelData.Native([], guard: layout.PaddedLength);

        layout.Arrange(source.Data, destination.Data);

        var block = 64 / elementSize;
        var paddedGroup = (groupLength + block - 1) / block * block;
        Assert.Equal(groupCount * paddedGroup, layout.PaddedLength);
        var expected = new float[layout.PaddedLength];
        for (var i = 0; i < values.Length; i++)
        {
            var k = i % groupLength;
            var place = elementSize == 4 ? k : (k / 32 * 32) + (k % 32 / 2) + (16 * (k % 2));
            expected[(i / groupLength * paddedGroup) + place] = values[i];
        }

        Assert.Equal(expected, KernelData.ToArray(destination, layout.PaddedLength));
    }

    /// <summary>Columns that begin within a block of a file have the block's other columns before them, whose activations are another rank's.</summary>
    [Theory]
    [InlineData(7, 50)]
    [InlineData(31, 1)]
    [InlineData(12, 20)]
    [InlineData(5, 91)]
    public void Arrange_Lead_IsZerosBefore(int lead, int length)
    {
        var values = KernelData.Random(3, length, magnitude: 2);
        var (led, whole) = (new ActivationLayout(1, length, ActivationForm.Quantized, lead), new ActivationLayout(1, lead + length, ActivationForm.Quantized));
        Assert.Equal(whole.PaddedLength, led.PaddedLength);
        using var source = KernelData.Native(values);
        using var padded = KernelData.Native([.. new float[lead], .. values]);
        using var actual = KernelData.Native([], guard: led.PaddedLength);
        using var expected = KernelData.Native([], guard: led.PaddedLength);

        led.Arrange(source.Data, actual.Data);
        whole.Arrange(padded.Data, expected.Data);

        Assert.True(new ReadOnlySpan<int>(expected.Data, led.PaddedLength).SequenceEqual(new ReadOnlySpan<int>(actual.Data, led.PaddedLength)));
    }
}
