using System.Text;
using Distributed.Collectives;
using Distributed.Collectives.Launching;
using Distributed.Launcher.Jobs;

namespace Distributed.Launcher.Rendezvous;

/// <summary>
/// What the nodes of a run share before they meet: the content of a file that the user has put on each. All other secrets are derived from
/// it on each node, so none ever travels. Without a file the run's name has to do, which is a secret to nobody.
/// </summary>
internal sealed class JobKey
{
    /// <summary>The name of the setting in --rdzv-conf.</summary>
    public const string Setting = "secret_file";

    /// <summary>The environment variable that stands in for it.</summary>
    public const string Variable = "DISTRUN_JOB_SECRET_FILE";

    private const int MinByteCount = 32;
    private const int MaxByteCount = 4096;

    private readonly byte[] _material;
    private readonly string _runId;

    private JobKey(byte[] material, string runId, bool isSecret)
    {
        _material = material;
        _runId = runId;
        IsSecret = isSecret;
    }

    /// <summary>Whether the user has given a secret.</summary>
    public bool IsSecret { get; }

    /// <summary>Reads the file; the key that is none where <paramref name="path"/> is <see langword="null"/>.</summary>
    /// <exception cref="RendezvousClosedException">The file cannot be read, or is no place for a secret.</exception>
    public static JobKey Load(string? path, string runId)
    {
        if (path is null)
        {
            return new JobKey(Encoding.UTF8.GetBytes("no secret"), runId, isSecret: false);
        }

        try
        {
            using var file = File.OpenRead(path);
            CheckPermissions(path);
            var buffer = new byte[MaxByteCount + 1];
            var length = file.ReadAtLeast(buffer, buffer.Length, throwOnEndOfStream: false);
            var content = buffer.AsSpan(0, length).TrimEnd("\r\n"u8);
            return content.Length is >= MinByteCount and <= MaxByteCount
                ? new JobKey(content.ToArray(), runId, isSecret: true)
                : throw new RendezvousClosedException(
                    $"The job's secret in {path} has {content.Length} bytes and needs {MinByteCount} to {MaxByteCount}; make one with: head -c 32 /dev/urandom | base64 > {path}");
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new RendezvousClosedException($"The job's secret cannot be read from {path} ({exception.Message.TrimEnd('.')}); put the same file on every node.");
        }
    }

    /// <summary>What the launchers prove to each other.</summary>
    public JobSecret ForLaunchers() => JobSecret.Derive(_material, $"distrun launchers of {_runId}");

    /// <summary>What the ranks of one round prove to each other.</summary>
    /// <param name="nonce">Of the run.</param>
    /// <param name="round">The round.</param>
    public JobIdentity ForRanks(string nonce, int round)
    {
        var id = FormattableString.Invariant($"{nonce}-{round}");
        return new JobIdentity(id, JobSecret.Derive(_material, $"distrun ranks of {_runId}: {id}"));
    }

    private static void CheckPermissions(string path)
    {
        const UnixFileMode Others = UnixFileMode.OtherRead | UnixFileMode.OtherWrite | UnixFileMode.GroupWrite;
        if (!OperatingSystem.IsWindows() && (File.GetUnixFileMode(path) & Others) != 0)
        {
            throw new RendezvousClosedException($"The job's secret in {path} can be read by everyone or written by others; take that away: chmod 400 {path}");
        }
    }
}
