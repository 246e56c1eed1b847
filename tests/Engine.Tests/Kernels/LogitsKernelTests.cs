using Distributed.Engine.Kernels;

namespace Distributed.Engine.Tests.Kernels;

public sealed unsafe class LogitsKernelTests
{
    public static TheoryData<string> Sets => KernelData.Sets;

    [Theory]
    [MemberData(nameof(Sets))]
    public void Summarize_AllLengths_HasBitsOfDefinition(string set)
    {
        foreach (var length in (int[])[1, 15, 16, 17, 33, 64, 250])
        {
            foreach (var temperature in (float[])[0f, 0.6f, 1.7f])
            {
                var logits = KernelData.Random(length, length, magnitude: 5);
                using var native = KernelData.Native(logits);

                var group = KernelData.Set(set).Summarize(native.Data, length, temperature);

                var maximum = logits.Max();
                Assert.Equal(maximum, group.Maximum);
                Check(Oracle.LaneSum(logits.Select(logit => Oracle.Exp(logit - maximum)).ToArray()), group.Sum);
                Check(
                    temperature == 0 ? 0 : Oracle.LaneSum(logits.Select(logit => Oracle.Exp((logit / temperature) - (maximum / temperature))).ToArray()),
                    group.ScaledSum);
            }
        }

        static void Check(float expected, float actual) => Assert.Equal(BitConverter.SingleToInt32Bits(expected), BitConverter.SingleToInt32Bits(actual));
    }

    [Theory]
    [MemberData(nameof(Sets))]
    public void Summarize_HugeLogits_GivesLogSumExp(string set)
    {
        float[] logits = [1e4f, 1e4f - 1, -1e4f, 0f, 1e4f];
        using var native = KernelData.Native(logits);

        var group = KernelData.Set(set).Summarize(native.Data, logits.Length, 1e-3f);

        Assert.Equal(1e4f, group.Maximum);
        Assert.Equal(2 + Math.Exp(-1), group.Sum, 1e-6);
        Assert.Equal(2, group.ScaledSum);
    }

    [Theory]
    [MemberData(nameof(Sets))]
    public void Probabilities_AllLengths_HaveTheBitsOfOneAlone(string set)
    {
        foreach (var length in (int[])[1, 15, 16, 17, 250])
        {
            var logits = KernelData.Random(length, length, magnitude: 30);
            logits[length / 2] = float.NegativeInfinity;
            using var native = KernelData.Native(logits);
            using var result = KernelData.Native(new float[length]);

            KernelData.Set(set).Probabilities(native.Data, result.Data, length, 0.7f, 40f, 1.5f);

            Assert.Equal(
                logits.Select(logit => BitConverter.SingleToInt32Bits(Oracle.Exp((logit / 0.7f) - 40f) / 1.5f)),
                new ReadOnlySpan<float>(result.Data, length).ToArray().Select(BitConverter.SingleToInt32Bits));
        }
    }

    [Fact]
    public void Combine_TwoGroups_IsTheGroupOfBoth()
    {
        var (left, right) = (new LogitsGroup(3f, 1.5f, 1.25f), new LogitsGroup(5f, 2f, 1.1f));

        var both = LogitsGroup.Combine(left, right, 2f);

        Assert.Equal(5f, both.Maximum);
        Assert.Equal((1.5 * Math.Exp(-2)) + 2, both.Sum, 1e-6);
        Assert.Equal((1.25 * Math.Exp(-1)) + 1.1, both.ScaledSum, 1e-6);
        Assert.Equal(LogitsGroup.Combine(right, left, 2f).Sum, both.Sum);
    }

    [Theory]
    [InlineData(5, 64)]
    [InlineData(64, 64)]
    [InlineData(1000, 64)]
    [InlineData(100, 1)]
    public void KeepGreatest_ManyTies_KeepsDescendingWithLowestIds(int length, int capacity)
    {
        var random = new Random(length);
        var logits = Enumerable.Range(0, length).Select(_ => (float)random.Next(40)).ToArray();
        using var native = KernelData.Native(logits);
        var (ids, values) = (new int[capacity], new float[capacity]);

        var first = LogitsKernel.KeepGreatest(native.Data, length / 2, 7, ids, values, 0);
        var count = LogitsKernel.KeepGreatest(native.Data + (length / 2), length - (length / 2), 7 + (length / 2), ids, values, first);

        var expected = logits.Select((logit, i) => (logit, id: i + 7)).OrderByDescending(pair => pair.logit).ThenBy(pair => pair.id).Take(capacity).ToArray();
        Assert.Equal(expected.Length, count);
        Assert.Equal(expected.Select(pair => pair.id), ids.Take(count));
        Assert.Equal(expected.Select(pair => pair.logit), values.Take(count));
    }
}
