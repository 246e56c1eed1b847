using System.Net.Sockets;
using System.Text;

namespace Distributed.Collectives.Hosting;

/// <summary>Paths of Unix sockets, and connections to them.</summary>
internal static class UnixSocketAddress
{
    /// <summary>sockaddr_un holds 108 bytes on Linux and 104 on macOS, with the terminating zero.</summary>
    public const int MaxPathByteCount = 100;

    private const string Scheme = "unix:";

    /// <summary>The address of a path: "unix:/path".</summary>
    public static string Of(string path) => Scheme + path;

    /// <summary>The path of "unix:/path".</summary>
    /// <exception cref="RendezvousConnectionException">The address has another form.</exception>
    public static string PathOf(string address)
        => address.StartsWith(Scheme, StringComparison.Ordinal) && Path.IsPathFullyQualified(address[Scheme.Length..])
            ? address[Scheme.Length..]
            : throw new RendezvousConnectionException($"The store address {AbortCause.Bound(address)} does not have the form unix:/absolute/path, which distrun sets in DISTRUN_STORE.");

    /// <exception cref="RendezvousConnectionException">The path is too long for a socket.</exception>
    public static void CheckLength(string path)
    {
        var byteCount = Encoding.UTF8.GetByteCount(path);
        if (byteCount > MaxPathByteCount)
        {
            throw new RendezvousConnectionException(
                $"The path of the socket {path} has {byteCount} bytes and the system takes {MaxPathByteCount}; set XDG_RUNTIME_DIR or TMPDIR to a directory with a shorter name.");
        }
    }

    /// <summary>Connects to the socket, trying again until somebody listens there: the other process may still be starting.</summary>
    /// <param name="path">The socket.</param>
    /// <param name="limit">How long to try.</param>
    /// <param name="cancellationToken">Ends the attempts.</param>
    /// <exception cref="SocketException">Nobody listened within the limit.</exception>
    public static async Task<Socket> ConnectAsync(string path, TimeSpan limit, CancellationToken cancellationToken)
    {
        var started = TimeProvider.System.GetTimestamp();
        for (var pause = TimeSpan.FromMilliseconds(1); ; pause = Backoff(pause))
        {
            var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
            try
            {
                Tune(socket);
                await socket.ConnectAsync(new UnixDomainSocketEndPoint(path), cancellationToken);
                return UnixPeer.IsOwner(socket)
                    ? socket
                    : throw new UnauthorizedAccessException($"another user's process listens on {path}");
            }
            catch (SocketException) when (TimeProvider.System.GetElapsedTime(started) < limit)
            {
                socket.Dispose();
            }
            catch
            {
                socket.Dispose();
                throw;
            }

            await Task.Delay(pause, cancellationToken);
        }
    }

    /// <summary>Lets several segments be on their way, so that whoever sends them goes on; the system takes as much of it as it permits.</summary>
    public static void Tune(Socket socket) => socket.SendBufferSize = 1 << 20;

    // Doubles up to 50 ms and spreads by half, so that many ranks do not knock in step.
    private static TimeSpan Backoff(TimeSpan pause)
        => TimeSpan.FromMilliseconds(Math.Min(50, 2 * pause.TotalMilliseconds) * (0.75 + (Random.Shared.NextDouble() / 2)));
}
