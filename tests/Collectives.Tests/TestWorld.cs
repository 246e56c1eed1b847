namespace Distributed.Collectives.Tests;

/// <summary>A connected world for one test, over the transport that the test names.</summary>
internal sealed class TestWorld : IAsyncDisposable
{
    private readonly TestJob? _job;

    private TestWorld(ProcessGroup[] ranks, TestJob? job) => (Ranks, _job) = (ranks, job);

    /// <summary>The transports, for theories.</summary>
    public static TheoryData<string> Transports => ["in-memory", "gRPC", "shared memory"];

    /// <summary>[rank]</summary>
    public ProcessGroup[] Ranks { get; }

    public static async Task<TestWorld> StartAsync(string transport, int worldSize, TimeSpan? heartbeatInterval = null)
    {
        if (transport == "in-memory")
        {
            return new TestWorld(InMemoryWorld.Create(worldSize), null);
        }

        var job = await TestJob.StartAsync();
        var options = new PeerRendezvousOptions { Transport = transport == "gRPC" ? TransportChoice.Grpc : TransportChoice.SharedMemory };
        options = heartbeatInterval is { } interval ? options with { HeartbeatInterval = interval } : options;
        return new TestWorld(await job.JoinAllAsync(worldSize, options: _ => options), job);
    }

    /// <summary>Ends every connection of a rank without a word, as the death of its process does.</summary>
    public static void Kill(ProcessGroup rank)
    {
        foreach (var transport in ((PeerProcessGroup)rank).Transports)
        {
            transport.Dispose();
        }
    }

    public async ValueTask DisposeAsync()
    {
        await Task.WhenAll(Ranks.Select(rank => Task.Run(rank.Dispose))).DefaultTimeout();
        if (_job is not null)
        {
            await _job.DisposeAsync();
        }
    }
}
