using System.Diagnostics;
using System.Net;
using Distributed.Collectives;

namespace Distributed.Launcher.Rendezvous;

/// <summary>The store of a run as this node has it: served by this node, by another one, or by etcd.</summary>
internal sealed class RunStore : IAsyncDisposable
{
    private static readonly TimeSpan ConnectLimit = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan TellInterval = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan RetryPause = TimeSpan.FromMilliseconds(200);

    private readonly StoreServer? _server;

    private RunStore(RendezvousStore store, StoreServer? server, string ownAddress)
    {
        Store = store;
        _server = server;
        OwnAddress = ownAddress;
    }

    /// <summary>The keys of the run.</summary>
    public RendezvousStore Store { get; }

    /// <summary>Whether this node serves the store, so that the others need it until the end.</summary>
    public bool IsServedHere => _server is not null;

    /// <summary>How the other nodes reach this one.</summary>
    public string OwnAddress { get; }

    /// <summary>Serves the store if the endpoint is this machine's, or connects with who does.</summary>
    /// <param name="options">The endpoint.</param>
    /// <param name="key">What the nodes share.</param>
    /// <param name="runId">The run.</param>
    /// <param name="limit">How long to try.</param>
    /// <param name="tell">Told every few seconds what is tried in vain, and once what a missing secret exposes.</param>
    /// <param name="cancellationToken">Ends the attempts.</param>
    /// <exception cref="RendezvousException">The store cannot be had.</exception>
    public static async Task<RunStore> OpenAsync(
        RunStoreOptions options, JobKey key, string runId, TimeSpan limit, Action<string> tell, CancellationToken cancellationToken)
    {
        var started = Stopwatch.GetTimestamp();
        var told = Stopwatch.GetTimestamp();
        var isTaken = false; // the port, by another launcher of this machine
        var isWarned = false;
        while (true)
        {
            var addresses = await HostAddresses.LookUpAsync(options.Host, cancellationToken);
            string problem;
            try
            {
                CheckExposure(options, key, addresses);
                if (!isTaken && (options.IsHost ?? HostAddresses.IsOwn(options.Host, addresses)))
                {
                    var opened = await ServeAsync(options, key, runId, addresses, cancellationToken);
                    Warn(options, key, tell, ref isWarned);
                    return opened;
                }

                return await ConnectAsync(options, key, runId, addresses, cancellationToken);
            }
            catch (RendezvousConnectionException exception)
            {
                // Two launchers of one machine both find the endpoint to be theirs: the second is a client of the first.
                isTaken |= options.IsHost is null && StoreServer.AddressInUse(exception);
                problem = exception.Message;
                if (Stopwatch.GetElapsedTime(started) > limit || (options.IsHost is true && StoreServer.AddressInUse(exception)))
                {
                    throw;
                }
            }

            if (Stopwatch.GetElapsedTime(told) > TellInterval)
            {
                told = Stopwatch.GetTimestamp();
                tell($"waiting for the node of the rendezvous endpoint: {problem}");
            }

            await Task.Delay(RetryPause, cancellationToken);
        }
    }

    /// <summary>Connects with etcd.</summary>
    /// <param name="options">Where it is.</param>
    /// <param name="localAddress">How the others reach this node, as the user wrote it; <see langword="null"/> to find out.</param>
    /// <param name="runId">The run.</param>
    /// <param name="cancellationToken">Ends the attempt.</param>
    /// <exception cref="RendezvousConnectionException">etcd cannot be reached, or refuses.</exception>
    public static async Task<RunStore> OpenEtcdAsync(EtcdOptions options, string? localAddress, string runId, CancellationToken cancellationToken)
    {
        var store = await EtcdStore.ConnectAsync(options, runId, cancellationToken);
        var addresses = await HostAddresses.LookUpAsync(options.Host, cancellationToken);
        return new RunStore(store, server: null, localAddress ?? HostAddresses.Towards(addresses[0]));
    }

    /// <summary>Removes the keys of a run that is over from a store that outlives it.</summary>
    public async Task EraseAsync()
    {
        try
        {
            if (Store is EtcdStore etcd)
            {
                await etcd.EraseAsync();
            }
        }
        catch (RendezvousException)
        {
            // Its lease ends soon by itself.
        }
    }

    public async ValueTask DisposeAsync()
    {
        if (_server is not null)
        {
            await _server.DisposeAsync();
        }

        await Store.DisposeAsync();
    }

    private static async Task<RunStore> ServeAsync(
        RunStoreOptions options, JobKey key, string runId, IPAddress[] addresses, CancellationToken cancellationToken)
    {
        var store = new InMemoryStore();
        var endPoint = new IPEndPoint(HostAddresses.ToListenOn(options.Host, addresses), options.Port);
        var server = await StoreServer.StartTlsAsync(endPoint, runId, key.ForLaunchers(), store, cancellationToken);
        return new RunStore(store, server, options.LocalAddress ?? options.Host);
    }

    private static async Task<RunStore> ConnectAsync(
        RunStoreOptions options, JobKey key, string runId, IPAddress[] addresses, CancellationToken cancellationToken)
    {
        var store = await GrpcStore.ConnectTlsAsync(options.Host, options.Port, runId, key.ForLaunchers(), ConnectLimit, cancellationToken);
        return new RunStore(store, server: null, OwnAddressOf(options, addresses));
    }

    private static string OwnAddressOf(RunStoreOptions options, IPAddress[] addresses)
        => options.LocalAddress
            ?? (HostAddresses.IsLoopback(options.Host, addresses) ? options.Host
                : addresses.Length > 0 ? HostAddresses.Towards(addresses[0])
                : throw new RendezvousConnectionException($"{options.Host} cannot be looked up."));

    private static void CheckExposure(RunStoreOptions options, JobKey key, IPAddress[] addresses)
    {
        if (!key.IsSecret && !options.AllowsUnauthenticated && addresses.FirstOrDefault(address => !HostAddresses.IsPrivate(address)) is { } open)
        {
            throw new RendezvousClosedException(
                $"The rendezvous at {options.Host} ({open}) can be reached from the Internet and the run has no secret; name a file that all nodes have "
                + $"with --rdzv-conf {JobKey.Setting}=FILE or {JobKey.Variable} (or say --rdzv-conf {RunStoreOptions.UnauthenticatedSetting}=true).");
        }
    }

    private static void Warn(RunStoreOptions options, JobKey key, Action<string> tell, ref bool isWarned)
    {
        if (!key.IsSecret && !isWarned)
        {
            isWarned = true;
            tell($"the rendezvous at {options.Host}:{options.Port} has no secret: whoever reaches that port and knows the run id can join this run or end it; "
                + $"--rdzv-conf {JobKey.Setting}=FILE on every node shuts them out.");
        }
    }
}

/// <summary>Where the store of a run is.</summary>
internal sealed record RunStoreOptions
{
    /// <summary>The setting of --rdzv-conf that does without a secret where one is asked for.</summary>
    public const string UnauthenticatedSetting = "allow_unauthenticated_nodes";

    /// <summary>As the user wrote it.</summary>
    public required string Host { get; init; }

    public required int Port { get; init; }

    /// <summary>Whether this node serves it; <see langword="null"/> to find out.</summary>
    public bool? IsHost { get; init; }

    /// <summary>How the others reach this node, as the user wrote it.</summary>
    public string? LocalAddress { get; init; }

    /// <summary>Whether a missing secret is no reason to refuse.</summary>
    public bool AllowsUnauthenticated { get; init; }
}
