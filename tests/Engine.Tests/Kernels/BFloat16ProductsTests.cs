using System.Runtime.InteropServices;
using Distributed.Engine.Kernels;

namespace Distributed.Engine.Tests.Kernels;

/// <summary>The products with activations in bfloat16: every implementation that runs here against the definition, one element at a time.</summary>
public sealed unsafe class BFloat16ProductsTests
{
    private static readonly Dictionary<string, BFloat16Products> All = FindAll();

    public static TheoryData<string> Names => [.. All.Keys];

    /// <summary>Group lengths around the width of a block, every tile shape with its remainders, every number of groups.</summary>
    [Theory]
    [MemberData(nameof(Names))]
    public void Multiply_AllShapes_HasBitsOfDefinition(string name)
    {
        foreach (var groupLength in (int[])[1, 2, 15, 16, 17, 31, 32, 33, 43, 63, 64, 65, 96, 130])
        {
            (int, int, int)[] shapes = [(1, 1, 1), (1, 9, 1), (2, 4, 2), (4, 7, 5), (8, 5, 3), (1, 6, 9), (2, 8, 4), (8, 20, 16)];
            foreach (var (groupCount, rowCount, tokenCount) in shapes)
            {
                Check(name, groupCount, groupLength, rowCount, tokenCount);
            }
        }
    }

    /// <summary>More rows and tokens than a block has, groups of several panels and panels of several groups, and rows enough for several calls.</summary>
    [Theory]
    [MemberData(nameof(Names))]
    public void Multiply_SeveralBlocksAndPanels_HasBitsOfDefinition(string name)
    {
        (int, int, int, int)[] shapes =
        [
            (1, 2200, 37, 22), (2, 1027, 18, 19), (4, 850, 6, 6), (1, 1999, 6, 1), (8, 200, 39, 1), (8, 200, 23, 17), (4, 96, 20, 33), (1, 32, 300, 1), (1, 6500, 5, 3), (1, 700, 70, 2), (1, 544, 131, 1), (2, 600, 9, 12), (1, 3100, 17, 8),
        ];
        foreach (var (groupCount, groupLength, rowCount, tokenCount) in shapes)
        {
            Check(name, groupCount, groupLength, rowCount, tokenCount);
        }
    }

    /// <summary>Numbers of all magnitudes: sums that overflow, cancel, and are flushed to zero; denormal operands.</summary>
    [Theory]
    [MemberData(nameof(Names))]
    public void Multiply_AnyBits_HasBitsOfDefinition(string name)
    {
        foreach (var (seed, lowest, count) in ((int, int, int)[])[(1, 0, 255), (2, 40, 60), (3, 50, 30), (4, 60, 12), (5, 64, 8), (6, 0, 130)])
        {
            var random = new Random(seed);
            var weights = Enumerable.Range(0, 9 * 70).Select(_ => AnyBits(random, lowest, count)).ToArray();
            var inputs = Enumerable.Range(0, 5).Select(_ => Enumerable.Range(0, 70).Select(_ => AnyBits(random, lowest, count)).ToArray()).ToArray();

            CheckValues(name, 1, weights, 9, inputs);
            CheckValues(name, 2, weights, 9, inputs);
        }
    }

    /// <summary>At the least normal number what decides is the sum before it is rounded to a denormal's grid.</summary>
    [Theory]
    [MemberData(nameof(Names))]
    public void Multiply_AtTheLeastNormalNumber_RoundsBeforeItFlushes(string name)
    {
        foreach (var factor in (float[])[1f, 0.75f, 0.51171875f, 0.5f, 0.498046875f, 0.25f, 1.5f, 2f])
        {
            // 2^-126 - factor x 2^-150, the subtrahend among the odd elements or the even ones.
            foreach (var place in (int[])[33, 34])
            {
                var (w, x) = (new float[64], new float[64]);
                (w[place - 32], x[place - 32]) = (MathF.ScaleB(1, -63), MathF.ScaleB(1, -63));
                (w[place], x[place]) = (-factor * MathF.ScaleB(1, -75), MathF.ScaleB(1, -75));
                var kept = factor <= 0.5f;

                Assert.Equal(kept ? MathF.ScaleB(1, -126) : 0f, Products(name, 1, w, 1, [x])[0]);
                CheckValues(name, 1, w, 1, [x]);
            }
        }
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Multiply_InfinityOrNaN_StaysNotFinite(string name)
    {
        foreach (var special in (float[])[float.PositiveInfinity, float.NegativeInfinity, float.NaN, float.MaxValue])
        {
            for (var place = 0; place < 40; place++)
            {
                var (weights, x) = (Enumerable.Repeat(1f, 40).ToArray(), Enumerable.Repeat(1f, 40).ToArray());
                x[place] = special; // the greatest float32 is no bfloat16: it rounds to infinity
                Assert.False(float.IsFinite(Products(name, 1, weights, 1, [x])[0]), $"{special} at {place} of the activations.");
                if (special != float.MaxValue)
                {
                    weights[place] = special;
                    Assert.False(float.IsFinite(Products(name, 1, weights, 1, [x])[0]), $"{special} at {place} of both.");
                }
            }
        }
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Multiply_RangeOfRows_WritesNoOtherRow(string name)
    {
        foreach (var tokens in (int[])[1, 2, 7])
        {
            var layout = new ActivationLayout(1, 40, All[name].Form);
            using var w = KernelData.Native(Encode(new float[12 * 40]));
            using var x = new NativeBuffer(layout.PaddedLength * tokens);
            using var y = KernelData.Native([], guard: 12 * tokens);

            All[name].Multiply(
                new LinearWeights((nint)w.Data, 80, 1, 40), new LinearInputs((nint)x.Data, layout.PaddedLength, tokens), new LinearOutputs((nint)y.Data, 12), 3, 8);

            Assert.Equal(
                Enumerable.Range(0, 12 * tokens).Select(i => i % 12 is < 3 or >= 8), KernelData.ToArray(y, 12 * tokens).Select(float.IsNaN));
        }
    }

    /// <summary>A segment of longer rows, whose tokens are longer than its own columns too.</summary>
    [Theory]
    [MemberData(nameof(Names))]
    public void Multiply_PartOfRows_ReadsNothingElse(string name)
    {
        var products = All[name];
        var layout = new ActivationLayout(2, 33, products.Form);
        var weights = KernelData.Random(1, 7 * 100).Select(Truncate).ToArray();
        var inputs = Enumerable.Range(0, 3).Select(token => KernelData.Random(token + 2, 66)).ToArray();
        using var w = KernelData.Native(Encode([.. weights.Select((value, i) => i % 100 is >= 17 and < 83 ? value : float.NaN)]));
        var stride = layout.PaddedLength + 48;
        using var x = KernelData.Native([], guard: stride * 3);
        using var y = new NativeBuffer(7 * 3);
        for (var token = 0; token < 3; token++)
        {
            using var source = KernelData.Native(inputs[token]);
            layout.Arrange(source.Data, x.Data + (token * stride));
        }

        products.Multiply(new LinearWeights((nint)w.Data + 34, 200, 2, 33), new LinearInputs((nint)x.Data, stride, 3), new LinearOutputs((nint)y.Data, 7), 0, 7);

        var actual = KernelData.ToArray(y, 21);
        for (var i = 0; i < 21; i++)
        {
            Assert.Equal(Oracle.RoundedRow(weights[((i % 7 * 100) + 17)..((i % 7 * 100) + 83)], inputs[i / 7], 2), actual[i]);
        }
    }

    private static Dictionary<string, BFloat16Products> FindAll()
    {
        var all = KernelSet.Supported.Select(set => (Name: $"{set.Name}: {set.BFloat16Products.Name}", Products: set.BFloat16Products)).DistinctBy(entry => entry.Products).ToList();
        if (Lanes512.IsSupported)
        {
            all.Add(("AVX-512 without emitted code", FusedBFloat16Products<Lanes512>.Shared));
        }

        return all.ToDictionary(entry => entry.Name, entry => entry.Products);
    }

    private static float AnyBits(Random random, int lowestExponent, int exponentCount)
        => BitConverter.UInt32BitsToSingle(((uint)random.Next(2) << 31) | ((uint)(lowestExponent + random.Next(exponentCount)) << 23) | ((uint)random.Next(128) << 16));

    private static void Check(string name, int groupCount, int groupLength, int rowCount, int tokenCount)
    {
        var columns = groupCount * groupLength;
        var weights = KernelData.Random(columns + rowCount, rowCount * columns).Select(Truncate).ToArray();
        var inputs = Enumerable.Range(0, tokenCount).Select(token => KernelData.Random(1000 + token, columns)).ToArray();
        CheckValues(name, groupCount, weights, rowCount, inputs);
    }

    private static void CheckValues(string name, int groupCount, float[] weights, int rowCount, float[][] inputs)
    {
        var columns = weights.Length / rowCount;
        var actual = Products(name, groupCount, weights, rowCount, inputs);
        for (var token = 0; token < inputs.Length; token++)
        {
            for (var row = 0; row < rowCount; row++)
            {
                var expected = Oracle.RoundedRow(weights[(row * columns)..((row + 1) * columns)], inputs[token], groupCount);
                var value = actual[(token * rowCount) + row];
                Assert.True(
                    BitConverter.SingleToInt32Bits(expected) == BitConverter.SingleToInt32Bits(value) || (float.IsNaN(expected) && float.IsNaN(value)),
                    $"{groupCount} x {columns / groupCount}, row {row} of {rowCount}, token {token} of {inputs.Length}: {expected} but {value}.");
            }
        }
    }

    // [token, row]
    private static float[] Products(string name, int groupCount, float[] weights, int rowCount, float[][] inputs)
    {
        var products = All[name];
        var columns = weights.Length / rowCount;
        var layout = new ActivationLayout(groupCount, columns / groupCount, products.Form);
        using var w = KernelData.Native(Encode(weights));
        using var x = new NativeBuffer(layout.PaddedLength * inputs.Length);
        using var y = new NativeBuffer(rowCount * inputs.Length);
        for (var token = 0; token < inputs.Length; token++)
        {
            using var source = KernelData.Native(inputs[token]);
            layout.Arrange(source.Data, x.Data + (token * layout.PaddedLength));
        }

        products.Multiply(
            new LinearWeights((nint)w.Data, (nint)columns * sizeof(ushort), groupCount, columns / groupCount),
            new LinearInputs((nint)x.Data, layout.PaddedLength, inputs.Length),
            new LinearOutputs((nint)y.Data, rowCount),
            0,
            rowCount);
        return KernelData.ToArray(y, rowCount * inputs.Length);
    }

    private static float Truncate(float value) => BitConverter.UInt32BitsToSingle(BitConverter.SingleToUInt32Bits(value) & 0xFFFF0000);

    private static byte[] Encode(float[] values)
        => MemoryMarshal.AsBytes(values.Select(value => (ushort)(BitConverter.SingleToUInt32Bits(value) >> 16)).ToArray().AsSpan()).ToArray();
}
