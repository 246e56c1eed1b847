using Distributed.Collectives.Launching;

namespace Distributed.Collectives.Tests;

/// <summary>What a launcher provides for one job: a private directory, a store, a secret, and each rank's environment.</summary>
internal sealed class TestJob : IAsyncDisposable
{
    private TestJob(string directory, string jobId, JobSecret secret, StoreServer store)
        => (Directory, JobId, Secret, Store) = (directory, jobId, secret, store);

    public string Directory { get; }

    public string JobId { get; }

    public JobSecret Secret { get; }

    public StoreServer Store { get; }

    public static async Task<TestJob> StartAsync()
    {
        var directory = System.IO.Directory.CreateTempSubdirectory("distrun-").FullName; // mode 0700
        var jobId = Guid.NewGuid().ToString("N");
        var secret = JobSecret.Create();
        return new TestJob(directory, jobId, secret, await StoreServer.StartAsync(Path.Combine(directory, "store.sock"), jobId, secret));
    }

    public RankEnvironment Environment(int rank, int worldSize) => new()
    {
        Rank = rank,
        LocalRank = rank,
        WorldSize = worldSize,
        LocalWorldSize = worldSize,
        StoreAddress = Store.Address,
        RuntimeDirectory = Directory,
        HasEnvelope = true,
    };

    public JobEnvelope Envelope(int rank, int epoch = 0, JobSecret? secret = null)
        => new(JobId, secret ?? Secret, epoch, rank, System.Environment.ProcessId);

    public GrpcStore Connect() => GrpcStore.Connect(Store.Address, JobId, Secret);

    public async Task<ProcessGroup[]> JoinAllAsync(int worldSize, Func<int, RankEnvironment>? environment = null, Func<int, PeerRendezvousOptions>? options = null)
        => await Task.WhenAll(Enumerable.Range(0, worldSize).Select(rank => PeerRendezvous.JoinAsync(
            environment?.Invoke(rank) ?? Environment(rank, worldSize), Envelope(rank), options?.Invoke(rank) ?? new PeerRendezvousOptions()))).DefaultTimeout();

    public async ValueTask DisposeAsync()
    {
        await Store.DisposeAsync();
        System.IO.Directory.Delete(Directory, recursive: true);
    }
}
