using System.Numerics;
using Distributed.Engine.Checkpoints;

namespace Distributed.Engine.Tests.Checkpoints;

/// <summary>The arithmetic that stands between a hostile pickle and a pointer, against one in BigInteger that cannot overflow.</summary>
public sealed class TensorLayoutTests
{
    private const int TupleCount = 1_000_000;

    private static readonly long[] Extremes =
        [0, 1, -1, 2, int.MaxValue, 1L << 31, uint.MaxValue, 1L << 32, long.MaxValue, long.MaxValue - 1, long.MinValue, 1L << 62, 1L << 40];

    [Fact]
    public void Check_RandomViews_AgreesWithBigIntegerOracle()
    {
        var random = new Random(20240711);
        var accepted = 0;
        for (var number = 0; number < TupleCount; number++)
        {
            var shape = Enumerable.Range(0, random.Next(0, 10)).Select(_ => Value(random)).ToArray();
            var strides = Strides(random, shape);
            long offset = Value(random), count = Value(random);

            var problem = TensorLayout.Check(shape, strides, offset, count, out var elementCount);

            var expected = Oracle(shape, strides, offset, count);
            if (expected is null != problem is not null || (expected ?? 0) != elementCount)
            {
                Assert.Fail(
                    $"shape [{string.Join(", ", shape)}], strides [{string.Join(", ", strides)}], offset {offset}, storage {count}: "
                    + $"oracle {expected?.ToString() ?? "refuses"}, ours {problem ?? elementCount.ToString()}");
            }

            accepted += expected is null ? 0 : 1;
        }

        Assert.InRange(accepted, TupleCount / 20, TupleCount - (TupleCount / 20));    // both verdicts are exercised
    }

    [Fact]
    public void StorageFits_RandomSizes_AgreesWithBigIntegerOracle()
    {
        var random = new Random(7);
        var accepted = 0;
        for (var number = 0; number < TupleCount; number++)
        {
            var itemByteCount = 1 << random.Next(5);
            var count = Value(random);
            var byteCount = random.Next(2) == 0 ? unchecked(count * itemByteCount) : Value(random);

            var expected = count >= 0 && new BigInteger(count) * itemByteCount == byteCount;
            if (expected != TensorLayout.StorageFits(count, itemByteCount, byteCount))
            {
                Assert.Fail($"{count} elements of {itemByteCount} bytes in {byteCount}: oracle {expected}");
            }

            accepted += expected ? 1 : 0;
        }

        Assert.InRange(accepted, TupleCount / 20, TupleCount - (TupleCount / 20));
    }

    private static long? Oracle(long[] shape, long[] strides, long offset, long storageElementCount)
    {
        if (shape.Length > TensorLayout.MaxDimensionCount || strides.Length != shape.Length || shape.Any(extent => extent < 1))
        {
            return null;
        }

        // A view is contiguous where the index (0, ..., 1, ..., 0) lies as many elements on as the extents to its right hold.
        for (var dimension = 0; dimension < shape.Length; dimension++)
        {
            var inner = shape[(dimension + 1)..].Aggregate(BigInteger.One, (product, extent) => product * extent);
            if (shape[dimension] > 1 && strides[dimension] != inner)
            {
                return null;
            }
        }

        var count = shape.Aggregate(BigInteger.One, (product, extent) => product * extent);
        return offset >= 0 && offset + count <= storageElementCount ? (long)count : null;
    }

    /// <summary>Mostly small numbers, so that many views fit; sometimes the edges of the types.</summary>
    private static long Value(Random random) => random.Next(8) switch
    {
        0 => Extremes[random.Next(Extremes.Length)],
        1 => random.NextInt64(),
        2 => random.Next(0, 100_000),
        _ => random.Next(0, 7),
    };

    private static long[] Strides(Random random, long[] shape)
    {
        var strides = new long[shape.Length];
        var stride = 1L;
        for (var dimension = shape.Length - 1; dimension >= 0; dimension--)
        {
            strides[dimension] = stride;
            stride = unchecked(stride * shape[dimension]);
        }

        switch (random.Next(6))
        {
            case 0 when strides.Length > 0: strides[random.Next(strides.Length)] = Value(random); break;
            case 1: return [.. strides, 1];
            case 2: return [.. strides.Reverse()];
        }

        return strides;
    }
}
