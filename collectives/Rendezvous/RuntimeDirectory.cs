using System.Net.Sockets;
using Distributed.Collectives.Hosting;

namespace Distributed.Collectives;

/// <summary>The job's directory for sockets: whoever can enter it can reach the ranks, so it has to be this user's alone.</summary>
internal static class RuntimeDirectory
{
    private const UnixFileMode OwnerOnly = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute;

    /// <summary>The socket on which a rank listens.</summary>
    public static string SocketOf(string directory, int rank) => Path.Combine(directory, $"r{rank}.sock");

    /// <summary>Refuses a directory that somebody else could enter, replace or redirect. On Windows its access list is the guard.</summary>
    /// <exception cref="RendezvousConnectionException">It is not safe.</exception>
    public static void Check(string? directory)
    {
        if (string.IsNullOrEmpty(directory))
        {
            throw new RendezvousConnectionException("DISTRUN_RUNTIME_DIR is not set, so the ranks have no place for their sockets; start this program with distrun.");
        }

        if (!OperatingSystem.IsWindows() && Fault(directory) is { } fault)
        {
            throw new RendezvousConnectionException($"The directory {directory} (DISTRUN_RUNTIME_DIR) {fault}; start this program with distrun, which makes a safe one.");
        }
    }

    /// <summary>Removes the socket that an earlier process of this rank has left behind, if there is one.</summary>
    /// <exception cref="RendezvousConnectionException">A living process listens there.</exception>
    public static async Task ReleaseAsync(string socketPath, CancellationToken cancellationToken)
    {
        if (!File.Exists(socketPath))
        {
            return;
        }

        try
        {
            using var socket = await UnixSocketAddress.ConnectAsync(socketPath, TimeSpan.Zero, cancellationToken);
        }
        catch (SocketException)
        {
            File.Delete(socketPath);
            return;
        }

        throw new RendezvousConnectionException($"Another process listens on {socketPath}; each rank is one process, started once.");
    }

    private static string? Fault(string directory)
    {
        if (UnixFileStatus.TryRead(directory) is not var (isDirectory, isLink, mode, owner))
        {
            return "does not exist";
        }

        var user = UnixFileStatus.GetEffectiveUserId();
        return isLink ? "is a symbolic link, which may be turned elsewhere"
            : !isDirectory ? "is not a directory"
            : owner != user ? $"belongs to user {owner} and this process runs as user {user}"
            : mode != OwnerOnly ? $"has mode {Convert.ToString((int)mode, 8)} and needs 700, so that no other user can enter it"
            : null;
    }
}
