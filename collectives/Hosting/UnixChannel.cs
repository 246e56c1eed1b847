using System.Net.Sockets;

namespace Distributed.Collectives.Hosting;

/// <summary>HTTP over Unix sockets.</summary>
internal static class UnixChannel
{
    /// <summary>Whoever is asked over this handler, it is the one who listens on <paramref name="path"/>.</summary>
    /// <param name="path">The socket.</param>
    /// <param name="connectLimit">How long a connection is tried until somebody listens.</param>
    public static SocketsHttpHandler CreateHandler(string path, TimeSpan connectLimit) => new()
    {
        UseProxy = false,
        UseCookies = false,
        AllowAutoRedirect = false,
        ConnectTimeout = Timeout.InfiniteTimeSpan, // the limit is ConnectAsync's
        PooledConnectionIdleTimeout = Timeout.InfiniteTimeSpan,
        EnableMultipleHttp2Connections = true,
        ConnectCallback = async (_, cancellationToken) => new NetworkStream(await UnixSocketAddress.ConnectAsync(path, connectLimit, cancellationToken), ownsSocket: true),
    };
}
