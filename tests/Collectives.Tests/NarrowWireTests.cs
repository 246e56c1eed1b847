using System.Net;
using System.Runtime.InteropServices;
using Distributed.Collectives.Algorithms;

namespace Distributed.Collectives.Tests;

/// <summary>Sums that cross between hosts in 16 or 8 bits: within the stated bound, the same on every rank, and smaller.</summary>
public sealed class NarrowWireTests
{
    public static TheoryData<WireFormat, int> Lengths
    {
        get
        {
            var data = new TheoryData<WireFormat, int>();
            foreach (var length in new[] { 0, 1, 63, 64, 65, 128, 1000, 16384 })
            {
                data.Add(WireFormat.BFloat16, length);
                data.Add(WireFormat.Int8, length);
            }

            return data;
        }
    }

    [Theory]
    [MemberData(nameof(Lengths))]
    public void Decode_OfAnyLength_IsWithinTheBound(WireFormat wire, int length)
    {
        var random = new Random(length);
        foreach (var magnitude in new[] { 1e-42f, 1e-37f, 1e-6f, 1f, 1e30f })
        {
            var values = Enumerable.Range(0, length).Select(_ => (float)((random.NextDouble() - 0.5) * magnitude)).ToArray();
            var decoded = RoundTrip(values, wire);
            for (var i = 0; i < length; i++)
            {
                var block = values.AsSpan(i / 64 * 64, Math.Min(64, length - (i / 64 * 64)));
                Assert.InRange(Math.Abs((double)decoded[i] - values[i]), 0, Bound(wire, values[i], block));
            }

        }
    }

    [Fact]
    public void Decode_OfABlockWithNoNumber_IsNoNumber()
    {
        foreach (var special in new[] { float.NaN, float.PositiveInfinity, float.NegativeInfinity })
        {
            var values = new float[130];
            values[70] = special;
            values[3] = 1;
            var decoded = RoundTrip(values, WireFormat.Int8);
            Assert.Equal(1, decoded[3]);
            Assert.All(decoded[64..128], value => Assert.True(float.IsNaN(value)));
            Assert.All(decoded[128..], value => Assert.Equal(0, value));
            Assert.Equal(special, RoundTrip(values, WireFormat.BFloat16)[70]);
        }
    }

    [Theory]
    [InlineData("0011", WireFormat.BFloat16)]
    [InlineData("0011", WireFormat.Int8)]
    [InlineData("012", WireFormat.Int8)] // a host each: no rank to sum with at home
    [InlineData("000111", WireFormat.Int8)]
    [InlineData("001122", WireFormat.BFloat16)]
    [InlineData("001122", WireFormat.Int8)]
    public void AllReduce_OnANarrowWire_IsWithinTheBoundAndTheSameOnEveryRank(string layout, WireFormat wire)
    {
        var hosts = HierarchicalAllReduceTests.Hosts(layout);
        foreach (var length in new[] { 0, 1, 1001, (1 << 17) + 77 })
        {
            var results = new float[layout.Length][];
            RankThreads.Run(InMemoryWorld.Create(layout.Length, hosts, wire), group =>
            {
                results[group.Rank] = Values(group.Rank, length);
                group.AllReduce(results[group.Rank]);
            });

            var inputs = Enumerable.Range(0, layout.Length).Select(rank => Values(rank, length)).ToArray();
            var units = HostMap.Of(hosts)!.Units
                .Select(unit => Enumerable.Range(0, length).Select(i => inputs.Skip(unit.FirstRank).Take(unit.Count).Sum(input => input[i])).ToArray()).ToArray();
            var sums = Enumerable.Range(0, length).Select(i => units.Sum(unit => unit[i])).ToArray();
            for (var i = 0; i < length; i++)
            {
                var start = i / 64 * 64;
                var end = Math.Min(length, start + 64);

                // Each unit is narrowed once, and where segments have owners the sum once more; the additions round as ever.
                var unitBound = units.Sum(unit => Bound(wire, unit[i], unit.AsSpan(start..end)));
                var bound = unitBound + Bound(wire, sums[i], sums.AsSpan(start..end)) + (unitBound / 64) + (1e-6 * units.Sum(unit => Math.Abs(unit[i])));
                Assert.InRange(Math.Abs((double)results[0][i] - sums[i]), 0, bound);
            }

            Assert.All(results, result => Assert.Equal(MemoryMarshal.AsBytes(results[0].AsSpan()).ToArray(), MemoryMarshal.AsBytes(result.AsSpan()).ToArray()));
        }
    }

    [Theory]
    [InlineData(WireFormat.BFloat16, 2000)]
    [InlineData(WireFormat.Int8, 1000 + (16 * 4))]
    public void AllReduce_OnANarrowWire_SendsLess(WireFormat wire, int expected)
        => RankThreads.Run(InMemoryWorld.Create(2, [0, 1], wire), group =>
        {
            var before = group.Statistics.SentByteCount;
            group.AllReduce(new float[1000]);
            Assert.Equal(expected, group.Statistics.SentByteCount - before);

            // Nothing but sums of float32 is narrowed.
            before = group.Statistics.SentByteCount;
            group.AllReduce<float>(new float[1000], ReduceOperation.Max);
            group.AllReduce<int>(new int[1000], ReduceOperation.Sum);
            Assert.Equal(8000, group.Statistics.SentByteCount - before);
        });

    [Fact]
    public async Task AllReduce_RanksDisagreeOnTheWire_SaysBoth()
    {
        await using var job = await TestJob.StartAsync();
        var world = await job.JoinAllAsync(
            2,
            rank => job.Environment(rank, 2) with { LocalWorldSize = 1, LocalRank = 0, GroupRank = rank, GroupWorldSize = 2 },
            rank => new PeerRendezvousOptions
            {
                HostIdentity = $"host {rank}",
                ListenAddress = IPAddress.Loopback,
                Wire = rank == 0 ? WireFormat.Exact : WireFormat.Int8,
            });
        Assert.Equal("gRPC over TLS, 2 ranks on different hosts; sums between hosts as int8, so not canonical", world[1].TransportDescription);
        var errors = RankThreads.Catch(world, group => group.AllReduce(new float[64]));
        Assert.Contains(errors, error => error is PeerProtocolException && error.Message.Contains("Sum of Float32 as int8", StringComparison.Ordinal));
        Assert.All(errors, error => Assert.IsAssignableFrom<CollectiveException>(error));
    }

    [Fact]
    public void Names_OfTheFormats_AreThoseOfTheOption()
    {
        Assert.Equal(
            [WireFormat.Exact, WireFormat.BFloat16, WireFormat.Int8],
            new[] { "exact", "bf16", "int8" }.Select(name => WireNames.Parse(name)!.Value));
        Assert.All(Enum.GetValues<WireFormat>(), format => Assert.Equal(format, WireNames.Parse(WireNames.NameOf(format))));
        Assert.Null(WireNames.Parse("fp8"));
    }

    private static float[] RoundTrip(float[] values, WireFormat wire)
    {
        var encoded = new byte[NarrowWire.ByteCount(values.Length * sizeof(float), wire)];
        NarrowWire.Encode(MemoryMarshal.AsBytes(values.AsSpan()), encoded, wire);
        var decoded = new float[values.Length];
        NarrowWire.Decode(encoded, MemoryMarshal.AsBytes(decoded.AsSpan()), wire);
        return decoded;
    }

    // What WireFormat and NarrowWire state, and the last rounding.
    private static double Bound(WireFormat wire, float value, ReadOnlySpan<float> block)
    {
        var greatest = 0.0;
        foreach (var other in block)
        {
            greatest = Math.Max(greatest, Math.Abs(other));
        }

        return wire == WireFormat.BFloat16
            ? (Math.Abs((double)value) / 256) + 1e-40 // of a subnormal number fewer bits are left
            : Math.Max((greatest / 254) + (greatest * 1e-6), greatest < 1.5e-36 ? greatest : 0);
    }

    private static float[] Values(int rank, int length)
    {
        var random = new Random(rank + 1);
        return [.. Enumerable.Range(0, length).Select(_ => (float)(random.NextDouble() - 0.5) * 8)];
    }
}
