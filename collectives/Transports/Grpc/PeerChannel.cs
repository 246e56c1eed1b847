using System.Net;
using System.Net.Security;
using System.Security.Cryptography.X509Certificates;
using Distributed.Collectives.Hosting;
using Grpc.Net.Client;

namespace Distributed.Collectives.Transports.Grpc;

/// <summary>The channels by which a rank dials lower ones, and the HTTP/2 settings that both ends share.</summary>
internal static class PeerChannel
{
    /// <summary>The largest segment and its header.</summary>
    public const int MaxMessageByteCount = PeerTransport.MaxSegmentByteCount + 1024;

    /// <summary>
    /// Bytes in flight one way: what both sides of an exchange send before they read fits several times over, so that neither waits for the
    /// other's window.
    /// </summary>
    public const int WindowByteCount = 8 << 20;

    /// <summary>Between hosts, silence for this long is answered by a ping. On one host the kernel closes a dead peer's socket.</summary>
    public static readonly TimeSpan PingDelay = TimeSpan.FromSeconds(2);

    /// <summary>An unanswered ping ends the connection after this.</summary>
    public static readonly TimeSpan PingTimeout = TimeSpan.FromSeconds(3);

    /// <summary>A channel to a rank of this host.</summary>
    public static GrpcChannel OpenUnix(string path, TimeSpan connectLimit)
        => Open("http://localhost", UnixChannel.CreateHandler(path, connectLimit));

    /// <summary>A channel to a rank of another host: TLS, with both certificates pinned.</summary>
    /// <param name="endpoint">Where the rank listens.</param>
    /// <param name="own">This rank's certificate.</param>
    /// <param name="peerHash">SHA-256 of the rank's certificate.</param>
    /// <param name="connectLimit">For the connection and the TLS handshake.</param>
    public static GrpcChannel OpenTls(IPEndPoint endpoint, X509Certificate2 own, byte[] peerHash, TimeSpan connectLimit)
        => Open($"https://{endpoint}", new SocketsHttpHandler
        {
            UseProxy = false,
            UseCookies = false,
            AllowAutoRedirect = false,
            ConnectTimeout = connectLimit,
            PooledConnectionIdleTimeout = Timeout.InfiniteTimeSpan,
            KeepAlivePingDelay = PingDelay,
            KeepAlivePingTimeout = PingTimeout,
            KeepAlivePingPolicy = HttpKeepAlivePingPolicy.Always,
            SslOptions = new SslClientAuthenticationOptions
            {
                EnabledSslProtocols = PeerCertificate.Protocols,
                ClientCertificateContext = SslStreamCertificateContext.Create(own, additionalCertificates: null, offline: true),
                RemoteCertificateValidationCallback = (_, certificate, _, _)
                    => certificate is not null && PeerCertificate.HashOf(certificate).AsSpan().SequenceEqual(peerHash),
            },
        });

    private static GrpcChannel Open(string address, SocketsHttpHandler handler)
    {
        handler.InitialHttp2StreamWindowSize = WindowByteCount;
        return GrpcChannel.ForAddress(address, new GrpcChannelOptions
        {
            HttpHandler = handler,
            DisposeHttpClient = true,
            MaxReceiveMessageSize = MaxMessageByteCount,
            MaxSendMessageSize = MaxMessageByteCount,
        });
    }
}
