using System.Net;
using System.Net.Sockets;

namespace Distributed.Launcher.Jobs;

/// <summary>
/// The port that a job's programs may listen on (MASTER_PORT), set apart for the life of the job.
/// </summary>
/// <remarks>
/// The launcher cannot keep the port open itself, for then rank 0 could not. So that nothing else comes to have it meanwhile, it is taken
/// from below the ranges from which Linux (32768), macOS and Windows (49152) choose ports for outgoing connections, and this user's other
/// jobs keep off it: each locks the byte of its port in one shared file, and the kernel drops the lock with the launcher. macOS has no such
/// locks in .NET and goes without.
/// </remarks>
internal sealed class MasterPort : IDisposable
{
    private const int First = 20_000;
    private const int Last = 32_767;
    private const int MaxAttemptCount = 200;
    private const string ClaimsFile = "ports";

    private readonly FileStream? _claim;

    private MasterPort(int number, FileStream? claim)
    {
        Number = number;
        _claim = claim;
    }

    public int Number { get; }

    /// <summary>Finds a port that nobody uses and claims it.</summary>
    /// <param name="claims">The folder of this user's jobs.</param>
    /// <exception cref="JobDirectoryException">None is free.</exception>
    public static MasterPort Claim(string claims)
    {
        for (var attempt = 0; attempt < MaxAttemptCount; attempt++)
        {
            var number = Random.Shared.Next(First, Last + 1);
            if (TryClaim(claims, number) is { } claim)
            {
                if (IsFree(number))
                {
                    return new MasterPort(number, claim);
                }

                claim.Dispose();
            }
        }

        throw new JobDirectoryException($"No free port from {First} to {Last} was found for MASTER_PORT; name one with --master-port.");
    }

    /// <summary>A port that the user has named.</summary>
    public static MasterPort Given(int number) => new(number, claim: null);

    /// <summary>Whether a program could listen on the port now.</summary>
    public static bool IsFree(int number)
    {
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        try
        {
            socket.Bind(new IPEndPoint(IPAddress.Any, number));
            return true;
        }
        catch (SocketException)
        {
            return false;
        }
    }

    public void Dispose() => _claim?.Dispose();

    private static FileStream? TryClaim(string claims, int number)
    {
        var path = Path.Combine(claims, ClaimsFile);
        var file = new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.ReadWrite, bufferSize: 0);
        try
        {
            if (!OperatingSystem.IsMacOS())
            {
                file.Lock(number, 1);
            }

            return file;
        }
        catch (IOException)
        {
            file.Dispose();
            return null; // Another job's.
        }
    }
}
