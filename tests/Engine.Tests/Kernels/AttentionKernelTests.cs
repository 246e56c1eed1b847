using Distributed.Engine.Kernels;

namespace Distributed.Engine.Tests.Kernels;

public sealed unsafe class AttentionKernelTests
{
    public static TheoryData<string> Sets => KernelData.Sets;

    /// <summary>Lengths around the blocks of 64 positions, head widths around the lanes, heads around the tiles.</summary>
    [Theory]
    [MemberData(nameof(Sets))]
    public void Attend_AllShapes_HasBitsOfDefinition(string set)
    {
        foreach (var positionCount in (int[])[1, 2, 15, 63, 64, 65, 128, 200])
        {
            foreach (var (headCount, dimension) in ((int, int)[])[(1, 8), (1, 64), (2, 12), (3, 48), (4, 32), (7, 16), (8, 20)])
            {
                var queries = Rows(1, headCount, dimension);
                var keys = Rows(2, positionCount, dimension);
                var values = Rows(3, positionCount, dimension);

                foreach (var format in Enum.GetValues<CacheFormat>())
                {
                    var actual = Attend(KernelData.Set(set), queries, keys, values, 0.3f, format);

                    for (var head = 0; head < headCount; head++)
                    {
                        Assert.Equal(KernelData.Bits(Oracle.Attend(queries[head], keys, values, 0.3f, format)), KernelData.Bits(actual[head]));
                    }
                }
            }
        }
    }

    [Theory]
    [MemberData(nameof(Sets))]
    public void Attend_RandomSequences_IsSoftmaxInDoublePrecision(string set)
    {
        var (queries, keys, values) = (Rows(4, 2, 64), Rows(5, 300, 64), Rows(6, 300, 64));

        var actual = Attend(KernelData.Set(set), queries, keys, values, 0.125f);

        for (var head = 0; head < 2; head++)
        {
            var weights = keys.Select(key => Math.Exp(0.125 * key.Zip(queries[head], (k, q) => (double)k * q).Sum())).ToArray();
            for (var d = 0; d < 64; d++)
            {
                Assert.Equal(values.Zip(weights, (value, weight) => value[d] * weight).Sum() / weights.Sum(), actual[head][d], 1e-5);
            }
        }
    }

    /// <summary>Scores near 1e4, whose exponentials no float holds, and one position that outweighs all others from each block.</summary>
    [Theory]
    [MemberData(nameof(Sets))]
    public void Attend_HugeScores_PicksTheGreatest(string set)
    {
        foreach (var winner in (int[])[0, 63, 64, 100, 149])
        {
            var keys = Enumerable.Range(0, 150).Select(i => Enumerable.Repeat(i == winner ? 100f : 99f, 16).ToArray()).ToArray();
            var values = Enumerable.Range(0, 150).Select(i => Enumerable.Repeat((float)i, 16).ToArray()).ToArray();

            var actual = Attend(KernelData.Set(set), [Enumerable.Repeat(10f, 16).ToArray()], keys, values, 1f);

            Assert.All(actual[0], value => Assert.Equal(winner, value));
        }
    }

    private static float[][] Rows(int seed, int count, int length)
        => [.. Enumerable.Range(0, count).Select(i => KernelData.Random((seed * 1000) + i, length, magnitude: 1))];

    // What lies behind each head's width in a query's or key's row is set as the cache has it, and its blocks lie in an order of their own.
    private static float[][] Attend(KernelSet set, float[][] queries, float[][] keys, float[][] values, float scale, CacheFormat format = CacheFormat.Float32)
    {
        var dimension = queries[0].Length;
        var padded = (dimension + 15) / 16 * 16;
        using var q = Pad(queries, padded);
        using var output = KernelData.Native([], guard: (queries.Length * dimension) + 16);
        using var scratch = KernelData.Native([], guard: AttentionKernel.ScratchLength(queries.Length, padded));
        var blocks = Enumerable.Range(0, (keys.Length + AttentionKernel.BlockLength - 1) / AttentionKernel.BlockLength).ToArray();
        new Random(keys.Length).Shuffle(blocks);
        var layout = new CacheLayout(format, dimension);
        Assert.Equal(padded, layout.PaddedDimension);
        using var k = Scatter(keys, layout, blocks);
        using var v = Scatter(values, layout, blocks);
        fixed (int* table = blocks)
        {
            set.Attend(new AttentionOperands
            {
                Queries = q.Data,
                Keys = (byte*)k.Data,
                Values = (byte*)v.Data,
                Blocks = table,
                BlockByteCount = layout.HeadByteCount,
                Cache = layout,
                Output = output.Data,
                Scratch = scratch.Data,
                HeadCount = queries.Length,
                HeadDimension = dimension,
                PositionCount = keys.Length,
                Prefetches = keys.Length % 2 == 0,
                Scale = scale,
            });
        }

        Assert.True(float.IsNaN(output.Data[queries.Length * dimension]), "Something was written behind the output.");
        var all = KernelData.ToArray(output, queries.Length * dimension);
        return [.. Enumerable.Range(0, queries.Length).Select(head => all[(head * dimension)..((head + 1) * dimension)])];
    }

    private static NativeBuffer Scatter(float[][] rows, CacheLayout layout, int[] blocks)
    {
        var scattered = KernelData.Native(Enumerable.Repeat(float.NaN, blocks.Length * layout.HeadByteCount / sizeof(float)).ToArray());
        foreach (var (position, row) in rows.Index())
        {
            var head = (byte*)scattered.Data + (blocks[position / AttentionKernel.BlockLength] * layout.HeadByteCount);
            new Span<byte>(head + (position % AttentionKernel.BlockLength * layout.RowByteCount), layout.RowByteCount).Clear();
            fixed (float* source = row)
            {
                layout.Store(source, head, position % AttentionKernel.BlockLength);
            }
        }

        return scattered;
    }

    private static NativeBuffer Pad(float[][] rows, int padded)
        => KernelData.Native(rows.SelectMany(row => row.Concat(new float[padded - row.Length])).ToArray());
}
