using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Cryptography.X509Certificates;
using Distributed.Collectives.Transports.Grpc;
using Grpc.Net.Client;

namespace Distributed.Collectives.Hosting;

/// <summary>The certificate that a server first showed: it has to be the same on every later connection, and is trusted once proved.</summary>
internal sealed class CertificatePin
{
    private byte[]? _hash;

    /// <summary>SHA-256 of the certificate; empty before the first connection.</summary>
    public ReadOnlySpan<byte> Hash => Volatile.Read(ref _hash);

    /// <summary>Accepts the first certificate, and then only that one.</summary>
    public bool Accept(X509Certificate? certificate)
    {
        if (certificate is null)
        {
            return false;
        }

        var hash = PeerCertificate.HashOf(certificate);
        return (Interlocked.CompareExchange(ref _hash, hash, null) ?? hash).AsSpan().SequenceEqual(hash);
    }
}

/// <summary>Channels to a server on another host whose certificate nobody has signed.</summary>
internal static class TlsChannel
{
    /// <summary>The address of a channel, as a URL.</summary>
    public static string AddressOf(DnsEndPoint endpoint)
        => $"https://{(endpoint.Host.Contains(':', StringComparison.Ordinal) ? $"[{endpoint.Host}]" : endpoint.Host)}:{endpoint.Port}";

    /// <summary>Connects to an address.</summary>
    /// <exception cref="SocketException">Nobody listens there.</exception>
    /// <exception cref="TimeoutException">Nobody answered within the limit.</exception>
    public static async Task<Socket> ConnectAsync(IPEndPoint endpoint, TimeSpan limit, CancellationToken cancellationToken)
    {
        var socket = new Socket(endpoint.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        try
        {
            Tune(socket);
            await socket.ConnectAsync(endpoint, cancellationToken).AsTask().WaitAsync(limit, cancellationToken);
            return socket;
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    /// <summary>What a connection between hosts is: without delay, and ended by the system when the other host does not answer for some 25 s.</summary>
    public static void Tune(Socket socket)
    {
        socket.NoDelay = true;
        socket.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.KeepAlive, true);
        socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveTime, 5);
        socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveInterval, 5);
        socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveRetryCount, 4);
    }

    /// <summary>A channel whose server proves itself after the handshake; <paramref name="pin"/> says what there is to prove.</summary>
    public static GrpcChannel Open(DnsEndPoint endpoint, CertificatePin pin, TimeSpan connectLimit)
        => GrpcChannel.ForAddress(AddressOf(endpoint), new GrpcChannelOptions
        {
            DisposeHttpClient = true,
            HttpHandler = new SocketsHttpHandler
            {
                UseProxy = false,
                UseCookies = false,
                AllowAutoRedirect = false,
                ConnectTimeout = connectLimit,
                PooledConnectionIdleTimeout = Timeout.InfiniteTimeSpan,
                EnableMultipleHttp2Connections = true,
                KeepAlivePingDelay = GrpcStore.PingDelay,
                KeepAlivePingTimeout = GrpcStore.PingTimeout,
                KeepAlivePingPolicy = HttpKeepAlivePingPolicy.Always,
                SslOptions = new SslClientAuthenticationOptions
                {
                    EnabledSslProtocols = PeerCertificate.Protocols,
                    RemoteCertificateValidationCallback = (_, certificate, _, _) => pin.Accept(certificate),
                },
            },
        });
}
