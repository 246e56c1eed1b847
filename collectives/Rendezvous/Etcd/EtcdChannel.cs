using System.Net;
using System.Net.Security;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Distributed.Collectives.Hosting;
using Grpc.Net.Client;

namespace Distributed.Collectives;

/// <summary>Channels to etcd.</summary>
internal static class EtcdChannel
{
    private static readonly TimeSpan ConnectLimit = TimeSpan.FromSeconds(5);

    /// <exception cref="RendezvousConnectionException">A certificate cannot be read.</exception>
    public static GrpcChannel Open(EtcdOptions options)
    {
        var address = TlsChannel.AddressOf(new DnsEndPoint(options.Host, options.Port));
        var handler = new SocketsHttpHandler
        {
            UseProxy = false,
            UseCookies = false,
            AllowAutoRedirect = false,
            ConnectTimeout = ConnectLimit,
            PooledConnectionIdleTimeout = Timeout.InfiniteTimeSpan,
            EnableMultipleHttp2Connections = true,
            KeepAlivePingDelay = GrpcStore.PingDelay,
            KeepAlivePingTimeout = GrpcStore.PingTimeout,
            KeepAlivePingPolicy = HttpKeepAlivePingPolicy.WithActiveRequests, // etcd ends connections that ping more than that
        };
        if (options.UsesTls)
        {
            handler.SslOptions = TlsOptions(options);
        }

        return GrpcChannel.ForAddress(
            options.UsesTls ? address : $"http{address["https".Length..]}", new GrpcChannelOptions { HttpHandler = handler, DisposeHttpClient = true });
    }

    private static SslClientAuthenticationOptions TlsOptions(EtcdOptions options)
    {
        try
        {
            var tls = new SslClientAuthenticationOptions();
            if (options.AuthorityFile is { } authority)
            {
                var trusted = new X509Certificate2Collection();
                trusted.ImportFromPemFile(authority);
                tls.CertificateChainPolicy = new X509ChainPolicy { TrustMode = X509ChainTrustMode.CustomRootTrust, RevocationMode = X509RevocationMode.NoCheck };
                tls.CertificateChainPolicy.CustomTrustStore.AddRange(trusted);
            }

            if (options.CertificateFile is { } certificate)
            {
                tls.ClientCertificates = [X509Certificate2.CreateFromPemFile(certificate, options.KeyFile)];
            }

            return tls;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or CryptographicException)
        {
            throw new RendezvousConnectionException($"A certificate for etcd cannot be read: {exception.Message.TrimEnd('.')}.", exception);
        }
    }
}
