using System.Globalization;
using System.Net;
using System.Net.Sockets;

namespace Distributed.Launcher.Jobs;

/// <summary>
/// The port that a job's programs may listen on (MASTER_PORT), set apart for the life of the job.
/// </summary>
/// <remarks>
/// The launcher cannot keep the port open itself, for then rank 0 could not. So that nothing else comes to have it meanwhile, it is taken from below the
/// ranges from which Linux (32768), macOS and Windows (49152) choose ports for outgoing connections, and a locked file keeps this user's other jobs off it.
/// </remarks>
internal sealed class MasterPort : IDisposable
{
    private const int First = 20_000;
    private const int Last = 32_767;
    private const int MaxAttemptCount = 200;

    private readonly FileStream? _claim;

    private MasterPort(int number, FileStream? claim)
    {
        Number = number;
        _claim = claim;
    }

    public int Number { get; }

    /// <summary>Finds a port that nobody uses and claims it.</summary>
    /// <param name="claims">This user's folder for the files that keep jobs apart.</param>
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
        try
        {
            var path = Path.Combine(claims, string.Create(CultureInfo.InvariantCulture, $"port-{number}{JobDirectory.LockSuffix}"));
            return new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None, 0, FileOptions.DeleteOnClose);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }
}
