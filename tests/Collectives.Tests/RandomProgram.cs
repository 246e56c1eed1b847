using System.Runtime.InteropServices;

namespace Distributed.Collectives.Tests;

/// <summary>
/// A sequence of operations drawn from a seed, the same on every rank, and what each must give: worked out here in one place, element by
/// element, from all ranks' inputs and without any of the product's code.
/// </summary>
internal sealed class RandomProgram
{
    private static readonly int[] Lengths = [0, 1, 2, 7, 63, 1000, 16_384, 16_385, 40_001];

    private readonly Step[] _steps;

    public RandomProgram(int seed, int worldSize, int count)
    {
        var random = new Random(seed);
        _steps = [.. Enumerable.Range(0, count).Select(_ => new Step(random, worldSize))];
    }

    /// <summary>Runs the program as one rank.</summary>
    public void Run(ProcessGroup group)
    {
        for (var i = 0; i < _steps.Length; i++)
        {
            _steps[i].Run(group, new CollectiveOptions((uint)i, TimeSpan.FromSeconds(60)), $"step {i} on rank {group.Rank} of {group.WorldSize}: {_steps[i]}");
        }
    }

    private sealed class Step
    {
        private readonly int _kind;
        private readonly DataType _type;
        private readonly ReduceOperation _operation;
        private readonly int _root;
        private readonly int _other;
        private readonly byte[][] _inputs; // [rank]
        private readonly Lazy<byte[]> _reduced;

        public Step(Random random, int worldSize)
        {
            _kind = random.Next(10);
            _type = (DataType)random.Next(6);
            _operation = (ReduceOperation)random.Next(3);
            _root = random.Next(worldSize);
            _other = random.Next(worldSize);
            var length = Lengths[random.Next(Lengths.Length)];
            var count = _kind is 2 or 5 or 7 ? (length + worldSize - 1) / worldSize * worldSize : length;
            _inputs = [.. Enumerable.Range(0, worldSize).Select(_ => Elements(random.Next(), _type, count))];
            _reduced = new Lazy<byte[]>(() => Reduced(_inputs, _type, _operation));
        }

        public override string ToString() => $"kind {_kind}, {_operation} of {_type}, root {_root}, {_inputs[0].Length} bytes";

        public void Run(ProcessGroup group, CollectiveOptions options, string what)
        {
            var own = _inputs[group.Rank].ToArray();
            var part = own.Length / group.WorldSize;
            switch (_kind)
            {
                case 0:
                    group.AllReduce(own, _type, _operation, options);
                    Check(_reduced.Value, own, what);
                    break;
                case 1:
                    group.Reduce(own, _type, _operation, _root, options);
                    Check(group.Rank == _root ? _reduced.Value : _inputs[group.Rank], own, what);
                    break;
                case 2:
                    var result = new byte[part];
                    group.ReduceScatter(own, result, _type, _operation, options);
                    Check(_reduced.Value.AsSpan(group.Rank * part, part), result, what);
                    break;
                case 3:
                    var all = new byte[own.Length * group.WorldSize];
                    group.AllGather(own, all, options);
                    CheckParts(all, rank => _inputs[rank], what);
                    break;
                case 4:
                    var gathered = group.Rank == _root ? new byte[own.Length * group.WorldSize] : [];
                    group.Gather(own, gathered, _root, options);
                    CheckParts(gathered, rank => group.Rank == _root ? _inputs[rank] : [], what);
                    break;
                case 5:
                    var scattered = new byte[part];
                    group.Scatter(own, scattered, _root, options);
                    Check(_inputs[_root].AsSpan(group.Rank * part, part), scattered, what);
                    break;
                case 6:
                    group.Broadcast(own, _root, options);
                    Check(_inputs[_root], own, what);
                    break;
                case 7:
                    var received = new byte[own.Length];
                    group.AllToAll(own, received, options);
                    CheckParts(received, rank => _inputs[rank].AsSpan(group.Rank * part, part), what);
                    break;
                case 8 when _root != _other:
                    SendAndCheck(group, _root, _other, _inputs[_root], options, what);
                    break;
                case 8:
                    group.MonitoredBarrier(options);
                    break;
                default:
                    group.Barrier(options);
                    break;
            }
        }

        private void CheckParts(ReadOnlySpan<byte> actual, Func<int, ReadOnlySpan<byte>> expectedOf, string what)
        {
            for (var rank = 0; rank < _inputs.Length; rank++)
            {
                var expected = expectedOf(rank);
                Check(expected, actual[..expected.Length], $"{what}, part {rank}");
                actual = actual[expected.Length..];
            }

            Assert.True(actual.IsEmpty, what);
        }
    }

    private static void SendAndCheck(ProcessGroup group, int from, int to, byte[] values, CollectiveOptions options, string what)
    {
        if (group.Rank == from)
        {
            group.Send(values, to, options);
        }
        else if (group.Rank == to)
        {
            var received = new byte[values.Length];
            group.Receive(received, from, options);
            Check(values, received, what);
        }
    }

    private static void Check(ReadOnlySpan<byte> expected, ReadOnlySpan<byte> actual, string what)
    {
        if (!expected.SequenceEqual(actual))
        {
            Assert.Fail($"{what}: byte {expected.CommonPrefixLength(actual)} of {expected.Length} differs");
        }
    }

    private static byte[] Elements(int seed, DataType type, int count)
    {
        var random = new Random(seed);
        return type switch
        {
            DataType.Float32 => Bytes(count, () => Number(random)),
            DataType.BFloat16 => Bytes(count, () => (ushort)(BitConverter.SingleToUInt32Bits(Number(random)) >> 16)),
            DataType.Float16 => Bytes(count, () => (Half)(random.NextSingle() - 0.5f)),
            DataType.Int32 => Bytes(count, () => random.Next(int.MinValue, int.MaxValue)),
            DataType.Int64 => Bytes(count, () => random.NextInt64(long.MinValue, long.MaxValue)),
            _ => Bytes(count, () => (byte)random.Next(256)),
        };
    }

    // Sums of these depend on the order; one in a thousand is no number.
    private static float Number(Random random)
        => random.Next(1000) == 0 ? float.NaN : (random.NextSingle() - 0.5f) * MathF.Pow(10, random.Next(-6, 7));

    private static byte[] Bytes<T>(int count, Func<T> next)
        where T : unmanaged
        => MemoryMarshal.AsBytes(Enumerable.Range(0, count).Select(_ => next()).ToArray().AsSpan()).ToArray();

    private static byte[] Reduced(byte[][] inputs, DataType type, ReduceOperation operation) => type switch
    {
        DataType.Float32 => Reduced<float>(inputs, (x, y) => Of(operation, x, y)),
        DataType.BFloat16 => Reduced<ushort>(inputs, (x, y) => Round(Of(operation, Widen(x), Widen(y)))),
        DataType.Float16 => Reduced<Half>(inputs, (x, y) => (Half)Of(operation, (float)x, (float)y)),
        DataType.Int32 => Reduced<int>(inputs, (x, y) => operation switch { ReduceOperation.Sum => unchecked(x + y), ReduceOperation.Max => Math.Max(x, y), _ => Math.Min(x, y) }),
        DataType.Int64 => Reduced<long>(inputs, (x, y) => operation switch { ReduceOperation.Sum => unchecked(x + y), ReduceOperation.Max => Math.Max(x, y), _ => Math.Min(x, y) }),
        _ => Reduced<byte>(inputs, (x, y) => operation switch { ReduceOperation.Sum => unchecked((byte)(x + y)), ReduceOperation.Max => Math.Max(x, y), _ => Math.Min(x, y) }),
    };

    // The canonical tree, level by level.
    private static byte[] Reduced<T>(byte[][] inputs, Func<T, T, T> combine)
        where T : unmanaged
    {
        var values = Array.ConvertAll(inputs, input => MemoryMarshal.Cast<byte, T>(input).ToArray());
        for (var distance = 1; distance < values.Length; distance *= 2)
        {
            for (var left = 0; left + distance < values.Length; left += 2 * distance)
            {
                values[left] = [.. values[left].Zip(values[left + distance], combine)];
            }
        }

        return MemoryMarshal.AsBytes(values[0].AsSpan()).ToArray();
    }

    private static float Of(ReduceOperation operation, float x, float y)
        => operation switch { ReduceOperation.Sum => x + y, ReduceOperation.Max => MathF.Max(x, y), _ => MathF.Min(x, y) };

    private static float Widen(ushort bits) => BitConverter.UInt32BitsToSingle((uint)bits << 16);

    // To nearest, ties to even, worked out from the two neighbours.
    private static ushort Round(float value)
    {
        var low = (ushort)(BitConverter.SingleToUInt32Bits(value) >> 16);
        if (float.IsNaN(value))
        {
            return (ushort)(low | 0x40);
        }

        var rest = BitConverter.SingleToUInt32Bits(value) & 0xFFFF;
        return rest > 0x8000 || (rest == 0x8000 && low % 2 == 1) ? (ushort)(low + 1) : low;
    }
}
