using Distributed.Engine.Checkpoints;
using Distributed.Engine.Kernels;
using Distributed.Engine.Weights;

namespace Distributed.Engine.Tests.Kernels;

/// <summary>Quantised weights against a plain form of the same definitions, bit for bit, on every implementation that this machine runs.</summary>
public sealed unsafe class QuantizedKernelTests
{
    private const int Block = 32;

    public static TheoryData<string, WeightFormat, int, int, int, int> Shapes
    {
        get
        {
            var data = new TheoryData<string, WeightFormat, int, int, int, int>();
            foreach (var set in KernelSet.Supported)
            {
                foreach (var format in new[] { WeightFormat.Int8, WeightFormat.Int4 })
                {
                    data.Add(set.Name, format, 8, 32, 1, 1);
                    data.Add(set.Name, format, 19, 200, 1, 3);
                    data.Add(set.Name, format, 5, 344, 8, 1);
                    data.Add(set.Name, format, 24, 172, 4, 5);
                    data.Add(set.Name, format, 1, 7, 1, 2);
                    data.Add(set.Name, format, 30, 1100, 1, 9); // more blocks than a panel, a token that is left over
                    data.Add(set.Name, format, 275, 64, 2, 7); // more tiles than at once
                    data.Add(set.Name, format, 21, 2080, 8, 4);
                    data.Add(set.Name, format, 40, 96, 1, 6);
                    data.Add(set.Name, format, 9, 4500, 1, 2); // more blocks than a panel of two tokens, a tile without a neighbour
                    data.Add(set.Name, format, 24, 128, 4, 17); // twice eight at once, and one
                    data.Add(set.Name, format, 530, 256, 8, 8);
                    data.Add(set.Name, format, 530, 256, 8, 1); // more groups than the results of a call
                }
            }

            return data;
        }
    }

    [Theory]
    [MemberData(nameof(Shapes))]
    public void Multiply_AnyShape_EqualsThePlainForm(string set, WeightFormat format, int rowCount, int columnCount, int groupCount, int tokenCount)
    {
        var weights = KernelData.Random(1, rowCount * columnCount);
        var inputs = KernelData.Random(2, tokenCount * columnCount);
        using var matrix = Matrix(weights, format, rowCount, columnCount, groupCount);
        using var x = Arrange(matrix.InputLayout, inputs, tokenCount, columnCount);
        using var y = KernelData.Native([], guard: tokenCount * rowCount);

        // In two pieces, the first of which ends within a tile.
        var middle = rowCount / 2;
        foreach (var (start, end) in new[] { (0, middle), (middle, rowCount) })
        {
            matrix.Multiply(
                KernelData.Set(set),
                new LinearInputs((nint)x.Data, matrix.InputLayout.PaddedLength, tokenCount),
                new LinearOutputs((nint)y.Data, rowCount),
                start,
                end);
        }

        for (var token = 0; token < tokenCount; token++)
        {
            for (var row = 0; row < rowCount; row++)
            {
                var expected = Row(
                    weights[(row * columnCount)..((row + 1) * columnCount)],
                    inputs[(token * columnCount)..((token + 1) * columnCount)],
                    groupCount,
                    format);
                Assert.Equal(BitConverter.SingleToInt32Bits(expected), BitConverter.SingleToInt32Bits(y.Data[(token * rowCount) + row]));
            }
        }
    }

    /// <summary>The extremes: the products of a block reach as far as they can in both directions, where a 16-bit sum would overflow.</summary>
    [Theory]
    [MemberData(nameof(KernelData.Sets), MemberType = typeof(KernelData))]
    public void Multiply_GreatestProducts_DoNotSaturate(string set)
    {
        foreach (var (format, weight) in new[] { (WeightFormat.Int8, 127f), (WeightFormat.Int4, -8f), (WeightFormat.Int8, -127f) })
        {
            foreach (var input in new[] { 127f, -127f })
            {
                foreach (var tokenCount in new[] { 1, 4 })
                {
                    using var matrix = Matrix([.. Enumerable.Repeat(weight, Block)], format, 1, Block, 1);
                    using var x = Arrange(matrix.InputLayout, [.. Enumerable.Repeat(input, tokenCount * Block)], tokenCount, Block);
                    using var y = KernelData.Native([], guard: tokenCount);
                    var inputs = new LinearInputs((nint)x.Data, matrix.InputLayout.PaddedLength, tokenCount);

                    matrix.Multiply(KernelData.Set(set), inputs, new LinearOutputs((nint)y.Data, 1), 0, 1);

                    Assert.All(new ReadOnlySpan<float>(y.Data, tokenCount).ToArray(), sum => Assert.Equal(Block * weight * input, sum));
                }
            }
        }
    }

    /// <summary>A rank's groups of tiles that have all ranks' side by side, as converted files do: the halves add up to the whole, by the group tree.</summary>
    [Theory]
    [MemberData(nameof(KernelData.Sets), MemberType = typeof(KernelData))]
    public void Multiply_PartsOfTiles_AreTheHalvesOfTheTree(string set)
    {
        foreach (var (type, rowCount, groupLength, tokenCount) in new[] { (TensorType.Int8, 77, 160, 1), (TensorType.Int4, 64, 96, 2), (TensorType.Int8, 40, 32, 6) })
        {
            var columnCount = 8 * groupLength;
            var shape = new BlockShape(type, rowCount, columnCount, 8);
            var random = KernelData.Random(6, rowCount * columnCount);
            using var tiles = new NativeBuffer((shape.ByteCount / sizeof(float)) + 1);
            for (var row = 0; row < rowCount; row++)
            {
                var values = random.AsSpan(row * columnCount, columnCount);
                var tile = (byte*)tiles.Data + (row / 8 * shape.TileByteCount);
                if (type == TensorType.Int8)
                {
                    TileQuantizer.Store<Int8Format>(values, groupLength, row % 8, tile);
                }
                else
                {
                    TileQuantizer.Store<Int4Format>(values, groupLength, row % 8, tile);
                }
            }

            var inputs = KernelData.Random(7, tokenCount * columnCount);
            var whole = Products(0, 8);
            var (lower, upper) = (Products(0, 4), Products(4, 4));
            for (var i = 0; i < whole.Length; i++)
            {
                Assert.Equal(BitConverter.SingleToInt32Bits(whole[i]), BitConverter.SingleToInt32Bits(lower[i] + upper[i]));
            }

            float[] Products(int firstGroup, int groupCount)
            {
                var (start, count) = (firstGroup * groupLength, groupCount * groupLength);
                using var matrix = WeightMatrix.Create(shape.Columns("w", (nint)tiles.Data, start, count, groupCount).Single(), groupCount);
                var part = inputs.Chunk(columnCount).SelectMany(token => token.Skip(start).Take(count)).ToArray();
                using var x = Arrange(matrix.InputLayout, part, tokenCount, count);
                using var y = KernelData.Native([], guard: tokenCount * rowCount);
                var arranged = new LinearInputs((nint)x.Data, matrix.InputLayout.PaddedLength, tokenCount);
                matrix.Multiply(KernelData.Set(set), arranged, new LinearOutputs((nint)y.Data, rowCount), 0, rowCount);
                return new ReadOnlySpan<float>(y.Data, tokenCount * rowCount).ToArray();
            }
        }
    }

    [Theory]
    [InlineData(WeightFormat.Int8, 127)]
    [InlineData(WeightFormat.Int4, 8)]
    public void Matrix_OfRandomWeights_IsWithinHalfAStep(WeightFormat format, int steps)
    {
        var weights = KernelData.Random(3, 64 * Block);
        for (var block = 0; block < 64; block++)
        {
            var values = weights[(block * Block)..((block + 1) * Block)];
            var step = values.Max(MathF.Abs) / steps * (1 + (1 / 128f)); // rounded to bfloat16
            var (scale, quantized) = QuantizeWeights(values, format);
            for (var k = 0; k < Block; k++)
            {
                // The range of four bits ends at +7: what lies beyond 7.5 steps on that side is cut off, by half a step more.
                var limit = format == WeightFormat.Int4 ? step : step / 2;
                Assert.InRange(MathF.Abs(values[k] - (scale * quantized[k])), 0, limit * 1.0001f);
            }
        }
    }

    [Theory]
    [InlineData(float.NaN)]
    [InlineData(float.PositiveInfinity)]
    [InlineData(float.NegativeInfinity)]
    public void NotFinite_InWeightsOrActivations_StaysSo(float bad)
    {
        foreach (var format in new[] { WeightFormat.Int8, WeightFormat.Int4 })
        {
            foreach (var inWeights in new[] { true, false })
            {
                var weights = KernelData.Random(4, Block);
                var inputs = KernelData.Random(5, Block);
                (inWeights ? weights : inputs)[11] = bad;
                using var matrix = Matrix(weights, format, 1, Block, 1);
                using var x = Arrange(matrix.InputLayout, inputs, 1, Block);
                using var y = KernelData.Native([]);

                matrix.Multiply(
                    KernelSet.Best, new LinearInputs((nint)x.Data, matrix.InputLayout.PaddedLength, 1), new LinearOutputs((nint)y.Data, 1), 0, 1);

                Assert.False(float.IsFinite(y.Data[0]));
            }
        }
    }

    private static WeightMatrix Matrix(float[] weights, WeightFormat format, int rowCount, int columnCount, int groupCount)
    {
        using var native = KernelData.Native(weights);
        using var pool = new ComputePool(2);
        var view = new MatrixView("w", TensorType.Float32, (nint)native.Data, columnCount * sizeof(float), rowCount, columnCount);
        return format == WeightFormat.Int8 ? new Int8Matrix(view, groupCount, pool) : new Int4Matrix(view, groupCount, pool);
    }

    private static NativeBuffer Arrange(ActivationLayout layout, float[] inputs, int tokenCount, int columnCount)
    {
        using var source = KernelData.Native(inputs);
        var arranged = KernelData.Native([], guard: layout.PaddedLength * tokenCount);
        for (var token = 0; token < tokenCount; token++)
        {
            layout.Arrange(source.Data + (token * columnCount), arranged.Data + (token * layout.PaddedLength));
        }

        return arranged;
    }

    private static float Row(float[] weights, float[] x, int groupCount, WeightFormat format)
    {
        var groups = new List<float>();
        foreach (var (w, a) in weights.Chunk(weights.Length / groupCount).Zip(x.Chunk(x.Length / groupCount)))
        {
            var sum = 0f;
            foreach (var (blockW, blockX) in w.Chunk(Block).Zip(a.Chunk(Block)))
            {
                var (scaleW, qW) = QuantizeWeights(blockW, format);
                var (scaleX, qX) = QuantizeActivations(blockX);
                sum = MathF.FusedMultiplyAdd(qW.Zip(qX, (left, right) => left * right).Sum(), scaleW * scaleX, sum);
            }

            groups.Add(sum);
        }

        return Oracle.GroupTree(groups);
    }

    private static (float Scale, int[] Numbers) QuantizeWeights(float[] values, WeightFormat format)
    {
        var greatest = values.MaxBy(MathF.Abs);
        var scale = UpToBFloat16(format == WeightFormat.Int8 ? MathF.Abs(greatest) / 127 : greatest / -8);
        var inverse = scale == 0 ? 0 : 1 / scale;
        var (low, high) = format == WeightFormat.Int8 ? (-127, 127) : (-8, 7);
        return (scale, [.. values.Select(value => Math.Clamp((int)MathF.Round(value * inverse), low, high))]);
    }

    private static (float Scale, int[] Numbers) QuantizeActivations(float[] values)
    {
        var greatest = values.Max(MathF.Abs);
        var inverse = greatest == 0 ? 0 : 127 / greatest;
        return (greatest / 127, [.. values.Select(value => (int)MathF.Round(value * inverse))]);
    }

    private static float UpToBFloat16(float value)
    {
        var cut = BitConverter.Int32BitsToSingle(BitConverter.SingleToInt32Bits(value) & unchecked((int)0xFFFF0000));
        return cut == value ? cut : BitConverter.Int32BitsToSingle(BitConverter.SingleToInt32Bits(cut) + 0x10000);
    }
}
