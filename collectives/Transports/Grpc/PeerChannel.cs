using System.Net;
using System.Net.Security;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;
using Distributed.Collectives.Hosting;
using Distributed.Collectives.Hosting.Http2;
using Grpc.Net.Client;

namespace Distributed.Collectives.Transports.Grpc;

/// <summary>The channels by which a rank dials lower ones: each for one stream, which has the connection to itself.</summary>
internal static class PeerChannel
{
    /// <summary>The largest segment and its header.</summary>
    public const int MaxMessageByteCount = PeerTransport.MaxSegmentByteCount + 1024;

    /// <summary>A channel to a rank of this host.</summary>
    public static GrpcChannel OpenUnix(string path, TimeSpan connectLimit)
        => Open("http://localhost", new CallHandler(cancellationToken => UnixSocketAddress.ConnectAsync(path, connectLimit, cancellationToken), tls: null));

    /// <summary>A channel to a rank of another host: TLS, with certificates of both.</summary>
    /// <param name="endpoint">Where the rank listens.</param>
    /// <param name="own">This rank's certificate.</param>
    /// <param name="self">This rank.</param>
    /// <param name="peer">The rank that is dialled.</param>
    /// <param name="connectLimit">For the connection and the TLS handshake.</param>
    public static GrpcChannel OpenTls(IPEndPoint endpoint, X509Certificate2 own, PeerIdentity self, int peer, TimeSpan connectLimit)
        => Open($"https://{endpoint}", new CallHandler(
            cancellationToken => TlsChannel.ConnectAsync(endpoint, connectLimit, cancellationToken),
            new SslClientAuthenticationOptions
            {
                TargetHost = endpoint.Address.ToString(),
                ApplicationProtocols = [SslApplicationProtocol.Http2],
                EnabledSslProtocols = PeerCertificate.Protocols,
                ClientCertificateContext = SslStreamCertificateContext.Create(own, additionalCertificates: null, offline: true),
                RemoteCertificateValidationCallback = (_, certificate, _, _)
                    => PeerCertificate.Refusal(certificate, self, peer) is { } refusal ? throw new AuthenticationException(refusal) : true,
            }));

    private static GrpcChannel Open(string address, CallHandler handler)
        => GrpcChannel.ForAddress(address, new GrpcChannelOptions
        {
            HttpHandler = handler,
            DisposeHttpClient = true,
            MaxReceiveMessageSize = MaxMessageByteCount,
            MaxSendMessageSize = MaxMessageByteCount,
        });
}
