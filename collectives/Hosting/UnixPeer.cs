using System.Net.Sockets;
using System.Runtime.InteropServices;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;

namespace Distributed.Collectives.Hosting;

/// <summary>
/// Who is at the other end of a Unix socket, as the kernel says: a second guard beside the directory's mode, on both ends. On Windows the
/// directory's access list is the only one.
/// </summary>
internal static partial class UnixPeer
{
    private const int SocketLevel = 1;      // SOL_SOCKET
    private const int PeerCredentials = 17; // SO_PEERCRED

    /// <summary>Listens on a Unix socket and closes the connections of other users before a byte of theirs is read.</summary>
    public static void ListenForOwner(this KestrelServerOptions options, string path)
        => options.ListenUnixSocket(path, listen =>
        {
            listen.Protocols = HttpProtocols.Http2;
            listen.Use(next => connection =>
            {
                if (connection.Features.Get<IConnectionSocketFeature>() is not { Socket: var socket } || !IsOwner(socket))
                {
                    connection.Abort(new ConnectionAbortedException("another user's process"));
                    return Task.CompletedTask;
                }

                return next(connection);
            });
        });

    /// <summary>Whether this process's user runs the process at the other end.</summary>
    /// <param name="socket">Connected; it was, when that process connected or listened.</param>
    public static bool IsOwner(Socket socket) => OperatingSystem.IsWindows() || UserOf(socket) == UnixFileStatus.GetEffectiveUserId();

    private static unsafe uint? UserOf(Socket socket)
    {
        if (OperatingSystem.IsLinux())
        {
            var credentials = stackalloc uint[3]; // struct ucred: process, user, group
            var bytes = new Span<byte>(credentials, 3 * sizeof(uint));
            return socket.GetRawSocketOption(SocketLevel, PeerCredentials, bytes) == bytes.Length ? credentials[1] : null;
        }

        uint user, group;
        return GetPeerUser((int)socket.Handle, &user, &group) == 0 ? user : null;
    }

    [LibraryImport("libc", EntryPoint = "getpeereid")]
    private static unsafe partial int GetPeerUser(int socket, uint* user, uint* group);
}
