using System.Net.Security;
using System.Net.Sockets;
using Grpc.Net.Client;

namespace Distributed.Rpc.Tests.Hosting;

/// <summary>The ways to reach a server.</summary>
public enum Transport
{
    UnixSocket,
    Tcp,
    Tls,
}

/// <summary>Where a server listens, in this process or another.</summary>
/// <param name="Uri">Its address; for a Unix socket a placeholder.</param>
/// <param name="SocketPath">Its Unix socket.</param>
internal sealed record ServerAddress(Uri Uri, string? SocketPath = null) : IDisposable
{
    public static ServerAddress OfUnixSocket(string path) => new(new Uri("http://localhost"), path);

    public static string NewSocketPath() => Path.Combine(Path.GetTempPath(), $"rpc-{Guid.NewGuid():N}.sock");

    public GrpcChannel CreateChannel(Action<GrpcChannelOptions>? configure = null)
    {
        var options = new GrpcChannelOptions { HttpHandler = CreateHandler(), DisposeHttpClient = true };
        configure?.Invoke(options);
        return GrpcChannel.ForAddress(Uri, options);
    }

    /// <summary>An HTTP handler that reaches the server and trusts the <see cref="TestCertificate"/> alone.</summary>
    public SocketsHttpHandler CreateHandler()
    {
        var handler = new SocketsHttpHandler
        {
            EnableMultipleHttp2Connections = true,
            UseProxy = false,
            SslOptions = new SslClientAuthenticationOptions
            {
                RemoteCertificateValidationCallback = (_, presented, _, _) =>
                    presented?.GetRawCertData().AsSpan().SequenceEqual(TestCertificate.Value.RawData) == true,
            },
        };
        if (SocketPath is not null)
        {
            handler.ConnectCallback = (_, cancellationToken) => ConnectAsync(SocketPath, cancellationToken);
        }

        return handler;
    }

    /// <summary>Removes the socket file.</summary>
    public void Dispose()
    {
        if (SocketPath is not null)
        {
            File.Delete(SocketPath);
        }
    }

    private static async ValueTask<Stream> ConnectAsync(string path, CancellationToken cancellationToken)
    {
        var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            await socket.ConnectAsync(new UnixDomainSocketEndPoint(path), cancellationToken);
            return new NetworkStream(socket, ownsSocket: true);
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }
}
