using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography.X509Certificates;
using Distributed.Collectives.Hosting;
using Distributed.Collectives.Launching;
using Distributed.Collectives.Transports.Grpc;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Https;

namespace Distributed.Collectives;

/// <summary>
/// The rendezvous store of one job, served over gRPC: to the ranks of this host on a Unix socket, to the launchers of other hosts over
/// TLS. It lives in the launcher.
/// </summary>
public sealed class StoreServer : IAsyncDisposable
{
    // The largest request: a wait for a thousand of the longest keys.
    private const int MaxMessageByteCount = 1 << 20;

    // Two a node are what a large cluster needs; what is beyond is not one of the job's.
    private const int MaxConnectionCount = 2048;

    private readonly GrpcHost _host;
    private readonly X509Certificate2? _certificate;

    private StoreServer(GrpcHost host, X509Certificate2? certificate, string address)
        => (_host, _certificate, Address) = (host, certificate, address);

    /// <summary>What goes into DISTRUN_STORE: "unix:/path"; for a store that is served over TLS "https://address:port".</summary>
    public string Address { get; }

    /// <summary>Serves a store on a Unix socket.</summary>
    /// <param name="unixSocketPath">Where to listen, in a directory that only this user can enter; at most 100 bytes.</param>
    /// <param name="jobId">The job.</param>
    /// <param name="secret">The job's secret, which every caller has to prove.</param>
    /// <param name="store">What to serve; the caller disposes it. <see langword="null"/> for an empty one.</param>
    /// <param name="cancellationToken">Ends the attempt.</param>
    /// <exception cref="RendezvousConnectionException">The socket cannot be opened.</exception>
    public static async Task<StoreServer> StartAsync(
        string unixSocketPath, string jobId, JobSecret secret, RendezvousStore? store = null, CancellationToken cancellationToken = default)
    {
        UnixSocketAddress.CheckLength(unixSocketPath);
        try
        {
            var service = new StoreService(store ?? new InMemoryStore(), new StoreAuthentication(jobId, secret), certificateHash: null);
            var host = await GrpcHost.StartAsync(
                service,
                MaxMessageByteCount,
                options => options.ListenForOwner(unixSocketPath),
                cancellationToken);
            return new StoreServer(host, certificate: null, UnixSocketAddress.Of(unixSocketPath));
        }
        catch (IOException exception)
        {
            throw new RendezvousConnectionException($"The rendezvous store cannot listen on {unixSocketPath}: {exception.GetBaseException().Message}.", exception);
        }
    }

    /// <summary>Serves a store over TLS, with a certificate that is made here and known by the proof that comes with it.</summary>
    /// <param name="endPoint">Where to listen, on this address alone; port 0 for one that the system chooses.</param>
    /// <param name="jobId">The job.</param>
    /// <param name="secret">What the job's launchers share, which both sides prove.</param>
    /// <param name="store">What to serve; the caller disposes it.</param>
    /// <param name="cancellationToken">Ends the attempt.</param>
    /// <exception cref="RendezvousConnectionException">The endpoint cannot be opened; <see cref="AddressInUse"/> tells whether it is taken.</exception>
    public static async Task<StoreServer> StartTlsAsync(
        IPEndPoint endPoint, string jobId, JobSecret secret, RendezvousStore store, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(endPoint);
        var certificate = PeerCertificate.Create("CN=rendezvous store");
        try
        {
            var service = new StoreService(store, new StoreAuthentication(jobId, secret), PeerCertificate.HashOf(certificate));
            var host = await GrpcHost.StartAsync(service, MaxMessageByteCount, options => ListenTls(options, endPoint, certificate), cancellationToken);
            var port = new Uri(host.Addresses.First()).Port;
            return new StoreServer(host, certificate, $"https://{new IPEndPoint(endPoint.Address, port)}");
        }
        catch (Exception exception) when (exception is IOException or SocketException)
        {
            certificate.Dispose();
            throw new RendezvousConnectionException($"The rendezvous store cannot listen on {endPoint}: {exception.GetBaseException().Message}.", exception);
        }
    }

    /// <summary>Whether a store could not listen because somebody else does.</summary>
    public static bool AddressInUse(RendezvousConnectionException exception)
    {
        ArgumentNullException.ThrowIfNull(exception);
        return exception.GetBaseException() is SocketException { SocketErrorCode: SocketError.AddressAlreadyInUse };
    }

    /// <summary>Ends the server and removes its socket; callers that wait get an error.</summary>
    public async ValueTask DisposeAsync()
    {
        await _host.DisposeAsync();
        _certificate?.Dispose();
    }

    private static void ListenTls(KestrelServerOptions options, IPEndPoint endPoint, X509Certificate2 certificate)
    {
        options.Limits.MaxConcurrentConnections = MaxConnectionCount;
        options.Limits.Http2.KeepAlivePingDelay = GrpcStore.PingDelay;
        options.Limits.Http2.KeepAlivePingTimeout = GrpcStore.PingTimeout;
        options.Listen(endPoint, listen =>
        {
            listen.Protocols = HttpProtocols.Http2;
            listen.UseHttps(new HttpsConnectionAdapterOptions { ServerCertificate = certificate, SslProtocols = PeerCertificate.Protocols });
        });
    }
}
