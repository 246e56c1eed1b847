using Distributed.Engine.Kernels;

namespace Distributed.Engine.Tests.Kernels;

public sealed unsafe class LinearKernelTests
{
    public enum Format
    {
        Float32,
        BFloat16,
        Float16,
    }

    public static TheoryData<string, Format> SetsAndFormats
    {
        get
        {
            var data = new TheoryData<string, Format>();
            foreach (var set in KernelSet.Supported)
            {
                foreach (var format in Enum.GetValues<Format>())
                {
                    data.Add(set.Name, format);
                }
            }

            return data;
        }
    }

    /// <summary>Group lengths around the widths of blocks, every tile shape with its remainders, every number of groups.</summary>
    [Theory]
    [MemberData(nameof(SetsAndFormats))]
    public void Multiply_AllShapes_HasBitsOfDefinition(string set, Format format)
    {
        foreach (var groupLength in (int[])[1, 2, 15, 16, 17, 31, 32, 33, 43, 63, 64, 65, 96, 130])
        {
            (int, int, int)[] shapes = [(1, 1, 1), (1, 9, 1), (2, 4, 2), (4, 7, 5), (8, 5, 3), (1, 6, 9), (2, 8, 4)];
            foreach (var (groupCount, rowCount, tokenCount) in shapes)
            {
                Check(KernelData.Set(set), format, groupCount, groupLength, rowCount, tokenCount);
            }
        }
    }

    /// <summary>More rows and tokens than a block has, groups of several panels, and the long rows that one token streams through.</summary>
    [Theory]
    [MemberData(nameof(SetsAndFormats))]
    public void Multiply_SeveralBlocksAndPanels_HasBitsOfDefinition(string set, Format format)
    {
        (int, int, int, int)[] shapes = [(1, 1100, 37, 22), (2, 513, 18, 19), (4, 850, 6, 6), (1, 1024, 5, 1), (1, 1999, 6, 1), (8, 200, 6, 1), (4, 481, 5, 1), (8, 520, 5, 1), (2, 800, 21, 3), (1, 65, 16, 7)];
        foreach (var (groupCount, groupLength, rowCount, tokenCount) in shapes)
        {
            Check(KernelData.Set(set), format, groupCount, groupLength, rowCount, tokenCount);
        }
    }

    [Theory]
    [MemberData(nameof(SetsAndFormats))]
    public void Multiply_RangeOfRows_WritesNoOtherRow(string set, Format format)
    {
        using var w = KernelData.Native(Encode(format, new float[12 * 40]));
        var layout = new ActivationLayout(1, 40, Form(format));
        using var x = new NativeBuffer(layout.PaddedLength);
        using var y = KernelData.Native([], guard: 12);

        Multiply(
            KernelData.Set(set),
            format,
            new LinearWeights((nint)w.Data, 40 * ElementSize(format), 1, 40),
            new LinearInputs((nint)x.Data, layout.PaddedLength, 1),
            new LinearOutputs((nint)y.Data, 12),
            3,
            8);

        Assert.Equal(
            [true, true, true, false, false, false, false, false, true, true, true, true], KernelData.ToArray(y, 12).Select(float.IsNaN));
    }

    [Theory]
    [MemberData(nameof(SetsAndFormats))]
    public void Multiply_ExtremeValues_HasBitsOfDefinition(string set, Format format)
    {
        float[] extremes = [0f, -0f, 1f, -1f, 65504f, -65504f, 6.1e-5f, 5.9e-8f, -5.9e-8f, 6.0975e-5f, 3.3895314e38f, 1e-38f, 1e-40f, -1e-45f];
        var stored = extremes.Select(value => Decode(format, value)).Where(float.IsFinite).ToArray();
        var weights = Enumerable.Range(0, 4 * 70).Select(i => stored[i * 7 % stored.Length]).ToArray();
        float[] inputs = [1f, -1f, 1e-20f, 0f, -0f, 3e-39f, 0.3f];
        var x = Enumerable.Range(0, 70).Select(i => inputs[i % inputs.Length]).ToArray();

        CheckValues(KernelData.Set(set), format, 1, weights, 4, [x]);
    }

    [Theory]
    [MemberData(nameof(SetsAndFormats))]
    public void Multiply_InfinityOrNaNAmongTheWeights_StaysNotFinite(string set, Format format)
    {
        foreach (var special in (float[])[float.PositiveInfinity, float.NegativeInfinity, float.NaN])
        {
            for (var place = 0; place < 40; place++)
            {
                var weights = new float[40];
                weights[place] = special;
                var result = Products(KernelData.Set(set), format, 1, weights, 1, [Enumerable.Repeat(1f, 40).ToArray()]);
                Assert.False(float.IsFinite(result[0]), $"{special} at {place} became {result[0]}.");
            }
        }
    }

    private static void Check(KernelSet set, Format format, int groupCount, int groupLength, int rowCount, int tokenCount)
    {
        var columns = groupCount * groupLength;
        var weights = KernelData.Random(columns + rowCount, rowCount * columns).Select(value => Decode(format, value)).ToArray();
        var inputs = Enumerable.Range(0, tokenCount).Select(token => KernelData.Random(1000 + token, columns)).ToArray();
        CheckValues(set, format, groupCount, weights, rowCount, inputs);
    }

    private static void CheckValues(KernelSet set, Format format, int groupCount, float[] weights, int rowCount, float[][] inputs)
    {
        var columns = weights.Length / rowCount;
        var actual = Products(set, format, groupCount, weights, rowCount, inputs);
        for (var token = 0; token < inputs.Length; token++)
        {
            for (var row = 0; row < rowCount; row++)
            {
                var expected = Oracle.Row(weights[(row * columns)..((row + 1) * columns)], inputs[token], groupCount, format != Format.Float32);
                var value = actual[(token * rowCount) + row];
                Assert.True(
                    BitConverter.SingleToInt32Bits(expected) == BitConverter.SingleToInt32Bits(value),
                    $"{groupCount} x {columns / groupCount}, row {row} of {rowCount}, token {token} of {inputs.Length}: {expected} but {value}.");
            }
        }
    }

    // [token, row]
    private static float[] Products(KernelSet set, Format format, int groupCount, float[] weights, int rowCount, float[][] inputs)
    {
        var columns = weights.Length / rowCount;
        var layout = new ActivationLayout(groupCount, columns / groupCount, Form(format));
        using var w = KernelData.Native(Encode(format, weights));
        using var x = new NativeBuffer(layout.PaddedLength * inputs.Length);
        using var y = new NativeBuffer(rowCount * inputs.Length);
        for (var token = 0; token < inputs.Length; token++)
        {
            using var source = KernelData.Native(inputs[token]);
            layout.Arrange(source.Data, x.Data + (token * layout.PaddedLength));
        }

        Multiply(
            set,
            format,
            new LinearWeights((nint)w.Data, (nint)columns * ElementSize(format), groupCount, columns / groupCount),
            new LinearInputs((nint)x.Data, layout.PaddedLength, inputs.Length),
            new LinearOutputs((nint)y.Data, rowCount),
            0,
            rowCount);
        return KernelData.ToArray(y, rowCount * inputs.Length);
    }

    private static void Multiply(
        KernelSet set, Format format, LinearWeights weights, LinearInputs inputs, LinearOutputs outputs, int rowStart, int rowEnd)
    {
        switch (format)
        {
            case Format.Float32:
                set.MultiplyFloat32(weights, inputs, outputs, rowStart, rowEnd);
                break;
            case Format.BFloat16:
                set.MultiplyBFloat16(weights, inputs, outputs, rowStart, rowEnd);
                break;
            default:
                set.MultiplyFloat16(weights, inputs, outputs, rowStart, rowEnd);
                break;
        }
    }

    private static int ElementSize(Format format) => format == Format.Float32 ? 4 : 2;

    private static ActivationForm Form(Format format) => format == Format.Float32 ? ActivationForm.InOrder : ActivationForm.Pairs;

    private static float Decode(Format format, float value)
        => format switch
        {
            Format.BFloat16 => BitConverter.UInt32BitsToSingle(BitConverter.SingleToUInt32Bits(value) & 0xFFFF0000),
            Format.Float16 => (float)(Half)value,
            _ => value,
        };

    private static byte[] Encode(Format format, float[] values)
        => format switch
        {
            Format.BFloat16 => [.. values.SelectMany(value => BitConverter.GetBytes((ushort)(BitConverter.SingleToUInt32Bits(value) >> 16)))],
            Format.Float16 => [.. values.SelectMany(value => BitConverter.GetBytes(BitConverter.HalfToUInt16Bits((Half)value)))],
            _ => [.. values.SelectMany(BitConverter.GetBytes)],
        };
}
