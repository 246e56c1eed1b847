using Distributed.Collectives.Hosting;
using Distributed.Collectives.Launching;

namespace Distributed.Collectives;

/// <summary>The rendezvous store of one job, served over gRPC on a Unix socket; it lives in the launcher.</summary>
public sealed class StoreServer : IAsyncDisposable
{
    // The largest request: a wait for a thousand of the longest keys.
    private const int MaxMessageByteCount = 1 << 20;

    private readonly GrpcHost _host;

    private StoreServer(GrpcHost host, string path) => (_host, Address) = (host, UnixSocketAddress.Of(path));

    /// <summary>What goes into DISTRUN_STORE: "unix:/path".</summary>
    public string Address { get; }

    /// <summary>Starts an empty store.</summary>
    /// <param name="unixSocketPath">Where to listen, in a directory that only this user can enter; at most 100 bytes.</param>
    /// <param name="jobId">The job.</param>
    /// <param name="secret">The job's secret, which every caller has to prove.</param>
    /// <param name="cancellationToken">Ends the attempt.</param>
    /// <exception cref="RendezvousConnectionException">The socket cannot be opened.</exception>
    public static async Task<StoreServer> StartAsync(
        string unixSocketPath, string jobId, JobSecret secret, CancellationToken cancellationToken = default)
    {
        UnixSocketAddress.CheckLength(unixSocketPath);
        try
        {
            var service = new StoreService(new InMemoryStore(), new StoreAuthentication(jobId, secret));
            var host = await GrpcHost.StartAsync(
                service,
                MaxMessageByteCount,
                options => options.ListenForOwner(unixSocketPath),
                cancellationToken);
            return new StoreServer(host, unixSocketPath);
        }
        catch (IOException exception)
        {
            throw new RendezvousConnectionException($"The rendezvous store cannot listen on {unixSocketPath}: {exception.GetBaseException().Message}.", exception);
        }
    }

    /// <summary>Ends the store and removes its socket; callers that wait get an error.</summary>
    public ValueTask DisposeAsync() => _host.DisposeAsync();
}
