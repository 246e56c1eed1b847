using System.Collections.Concurrent;
using System.Diagnostics.Metrics;

namespace Distributed.Collectives.Tests;

/// <summary>What a listener to the meter hears.</summary>
public sealed class MetricsTests
{
    private sealed record Measurement(string Name, string? Unit, double Value, Dictionary<string, object?> Tags);

    [Theory]
    [MemberData(nameof(TestWorld.Transports), MemberType = typeof(TestWorld))]
    public async Task Operations_WithAListener_AreCountedWithBytesTimeAndTheStraggler(string transport)
    {
        // A tag of its own: other tests of this process use groups meanwhile, and are told apart by their number of bytes.
        const int Length = 12_347;
        await using var world = await TestWorld.StartAsync(transport, 3);
        var heard = Listen(out var listener);
        using var others = new CountdownEvent(2);
        using (listener)
        {
            RankThreads.Run(world.Ranks, group =>
            {
                group.AllReduce(new float[10]);
                if (group.Rank == 2)
                {
                    // The others are on their way, however busy the machine is.
                    Assert.True(others.Wait(TimeSpan.FromSeconds(100)));
                    Thread.Sleep(800);
                }
                else
                {
                    others.Signal();
                }

                group.AllGather(new byte[Length], new byte[3 * Length]);
            });
        }

        var payloads = Of("distributed.collective.payload").Where(measurement => measurement.Value == 3 * Length).ToArray();
        Assert.Equal([0, 1, 2], payloads.Select(measurement => (int)measurement.Tags["distributed.rank"]!).Order());
        Assert.All(payloads, measurement => Assert.Equal("By", measurement.Unit));
        Assert.All(payloads, measurement => Assert.Equal("AllGather", measurement.Tags["distributed.collective.operation"]));
        Assert.All(payloads, measurement => Assert.False(measurement.Tags.ContainsKey("error.type")));
        Assert.Equal(3, Of("distributed.collective.sent").Count(measurement => measurement.Value == 2 * Length));
        Assert.True(Of("distributed.collective.operations").Count(measurement => measurement is { Unit: "{operation}", Value: 1 }) >= 6);

        // Ranks 0 and 1 have waited for rank 2.
        foreach (var name in new[] { "distributed.collective.duration", "distributed.collective.wait" })
        {
            var long0 = Of(name).Where(measurement => IsGatherOfRank(measurement, 0) && measurement is { Unit: "s", Value: > 0.3 }).ToArray();
            Assert.NotEmpty(long0);
            Assert.True(name.EndsWith("duration", StringComparison.Ordinal)
                || Array.Exists(long0, measurement => measurement.Tags["distributed.collective.straggler"] is 2));
        }

        IEnumerable<Measurement> Of(string name) => heard.Where(measurement => measurement.Name == name);
    }

    [Fact]
    public async Task Operation_ThatFails_SaysHow()
    {
        await using var world = await TestWorld.StartAsync("in-memory", 2);
        var heard = Listen(out var listener);
        using (listener)
        {
            RankThreads.Catch(world.Ranks, group =>
            {
                if (group.Rank == 0)
                {
                    group.Receive(new byte[54_321], peer: 1, new CollectiveOptions(Timeout: TimeSpan.FromMilliseconds(50)));
                }
            });
        }

        var failed = Assert.Single(heard, measurement => measurement is { Name: "distributed.collective.payload", Value: 54_321 });
        Assert.Equal("Timeout", failed.Tags["error.type"]);
    }

    private static bool IsGatherOfRank(Measurement measurement, int rank)
        => measurement.Tags["distributed.collective.operation"] is "AllGather" && measurement.Tags["distributed.rank"] is int number && number == rank;

    private static ConcurrentQueue<Measurement> Listen(out MeterListener listener)
    {
        var heard = new ConcurrentQueue<Measurement>();
        listener = new MeterListener
        {
            InstrumentPublished = (instrument, listener) =>
            {
                if (instrument.Meter.Name == "Distributed.Collectives")
                {
                    listener.EnableMeasurementEvents(instrument);
                }
            },
        };
        listener.SetMeasurementEventCallback<long>((instrument, value, tags, _) => heard.Enqueue(new(instrument.Name, instrument.Unit, value, new(tags.ToArray()))));
        listener.SetMeasurementEventCallback<double>((instrument, value, tags, _) => heard.Enqueue(new(instrument.Name, instrument.Unit, value, new(tags.ToArray()))));
        listener.Start();
        return heard;
    }
}
