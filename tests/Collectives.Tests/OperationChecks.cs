using System.Buffers.Binary;

namespace Distributed.Collectives.Tests;

/// <summary>What each operation has to do, on any transport: every check is the program of one rank.</summary>
internal static class OperationChecks
{
    /// <summary>The sum of every rank's values has the bits of the tree that <see cref="TreeOf"/> writes down by hand.</summary>
    public static void AllReduce(ProcessGroup group, int length)
    {
        var values = Values(group.Rank, length);
        group.AllReduce(values, new CollectiveOptions(Tag: 1));

        var tree = TreeOf(group.WorldSize);
        var leaves = Enumerable.Range(0, group.WorldSize).Select(rank => Values(rank, length)).ToArray();
        for (var i = 0; i < length; i++)
        {
            var expected = tree([.. leaves.Select(leaf => leaf[i])]);
            if (BitConverter.SingleToUInt32Bits(expected) != BitConverter.SingleToUInt32Bits(values[i]))
            {
                Assert.Fail($"rank {group.Rank}, element {i} of {length}: {values[i]:R} is not {expected:R}");
            }
        }
    }

    /// <summary>Every rank has every part in rank order.</summary>
    public static void AllGather(ProcessGroup group, int length)
    {
        var all = new byte[length * group.WorldSize];
        group.AllGather(Bytes(group.Rank, length), all, new CollectiveOptions(Tag: 2));
        AssertParts(all, group.WorldSize, length);
    }

    /// <summary>Each root in turn has every part in rank order.</summary>
    public static void Gather(ProcessGroup group, int length)
    {
        for (var root = 0; root < group.WorldSize; root++)
        {
            var all = group.Rank == root ? new byte[length * group.WorldSize] : [];
            group.Gather(Bytes(group.Rank, length), all, root, new CollectiveOptions(Tag: 3));
            if (group.Rank == root)
            {
                AssertParts(all, group.WorldSize, length);
            }
        }
    }

    /// <summary>Every rank has the values of each root in turn.</summary>
    public static void Broadcast(ProcessGroup group, int length)
    {
        for (var root = 0; root < group.WorldSize; root++)
        {
            var values = Bytes(group.Rank, length);
            group.Broadcast(values, root, new CollectiveOptions(Tag: 4));
            Assert.True(values.AsSpan().SequenceEqual(Bytes(root, length)), $"rank {group.Rank} differs from root {root}");
        }
    }

    /// <summary>No rank passes a barrier that another has not reached.</summary>
    public static Action<ProcessGroup> Barrier()
    {
        var arrived = 0;
        return group =>
        {
            for (var round = 1; round <= 20; round++)
            {
                Interlocked.Increment(ref arrived);
                group.Barrier();
                Assert.True(Volatile.Read(ref arrived) >= round * group.WorldSize, $"rank {group.Rank} passed barrier {round} early");
                group.Barrier();
            }
        };
    }

    /// <summary>A message that goes around the ring comes back to rank 0 with every rank's mark.</summary>
    public static void SendAndReceive(ProcessGroup group, int length)
    {
        var next = (group.Rank + 1) % group.WorldSize;
        var previous = (group.Rank + group.WorldSize - 1) % group.WorldSize;
        var values = Bytes(0, length);
        if (group.Rank > 0)
        {
            Array.Clear(values);
            group.Receive(values, previous, new CollectiveOptions(Tag: 5));
        }

        for (var i = 0; i < length; i++)
        {
            values[i] = (byte)((values[i] + group.Rank + 1) & 0xFF);
        }

        group.Send(values, next, new CollectiveOptions(Tag: 5));
        if (group.Rank == 0)
        {
            group.Receive(values, previous, new CollectiveOptions(Tag: 5));
            var marks = group.WorldSize * (group.WorldSize + 1) / 2;
            Assert.True(values.AsSpan().SequenceEqual(Bytes(0, length).Select(value => (byte)((value + marks) & 0xFF)).ToArray()));
        }
    }

    /// <summary>Values whose sum depends on the order of the additions, with one infinity and one NaN among many.</summary>
    public static float[] Values(int rank, int length)
    {
        var values = new float[length];
        var random = new Random((7919 * rank) + length);
        for (var i = 0; i < length; i++)
        {
            values[i] = (random.NextSingle() - 0.5f) * MathF.Pow(10, random.Next(-6, 7));
        }

        if (length > 6)
        {
            values[3] = rank == 1 ? float.PositiveInfinity : values[3];
            values[5] = rank == 2 ? float.NaN : values[5];
        }

        return values;
    }

    private static byte[] Bytes(int rank, int length)
    {
        var bytes = new byte[length];
        new Random(rank + 1).NextBytes(bytes);
        if (length >= sizeof(int))
        {
            BinaryPrimitives.WriteInt32LittleEndian(bytes, rank);
        }

        return bytes;
    }

    private static void AssertParts(byte[] all, int worldSize, int length)
    {
        for (var rank = 0; rank < worldSize; rank++)
        {
            Assert.True(all.AsSpan(rank * length, length).SequenceEqual(Bytes(rank, length)), $"the part of rank {rank} differs");
        }
    }

    // The canonical trees, written down: neighbours in rank order, then neighbouring sums, the incomplete last subtree carried up.
    private static Func<float[], float> TreeOf(int worldSize) => worldSize switch
    {
        1 => x => x[0],
        2 => x => x[0] + x[1],
        3 => x => (x[0] + x[1]) + x[2],
        4 => x => (x[0] + x[1]) + (x[2] + x[3]),
        5 => x => ((x[0] + x[1]) + (x[2] + x[3])) + x[4],
        6 => x => ((x[0] + x[1]) + (x[2] + x[3])) + (x[4] + x[5]),
        7 => x => ((x[0] + x[1]) + (x[2] + x[3])) + ((x[4] + x[5]) + x[6]),
        8 => x => ((x[0] + x[1]) + (x[2] + x[3])) + ((x[4] + x[5]) + (x[6] + x[7])),
        _ => throw new ArgumentOutOfRangeException(nameof(worldSize)),
    };
}
