using System.Runtime.Versioning;
using System.Text;

namespace Distributed.Launcher.Jobs;

/// <summary>A folder that a job needs cannot be used; the message is a sentence for the user.</summary>
internal sealed class JobDirectoryException(string message) : Exception(message);

/// <summary>
/// The private folder of one job, for its sockets and error files: made at its start, removed at its end. A folder that a killed launcher
/// left is removed by the next one.
/// </summary>
/// <remarks>
/// A job is alive while its launcher holds the lock on <c>&lt;name&gt;.lock</c>, which the kernel drops with the launcher. The lock is
/// there before the folder and goes after it, so a folder without a held lock is nobody's.
/// </remarks>
internal sealed class JobDirectory : IDisposable
{
    /// <summary>A socket's path may have 104 bytes on macOS and 108 on Linux, with its terminating zero; this leaves some room.</summary>
    public const int MaxSocketPathByteCount = 90;

    private const string LockSuffix = ".lock";
    private const int NameLength = 12;
    private const int RemoveAttemptCount = 5;
    private const string LongestSocketName = "/r000.sock";
    private const UnixFileMode OwnerOnly = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute;

    private static readonly TimeSpan RemovePause = TimeSpan.FromMilliseconds(2);

    private readonly FileStream _lock;

    private JobDirectory(string path, FileStream held)
    {
        Path = path;
        _lock = held;
    }

    /// <summary>The folder, mode 0700.</summary>
    public string Path { get; }

    /// <summary>The folder that holds those of this user's jobs.</summary>
    public string Parent => System.IO.Path.GetDirectoryName(Path)!;

    /// <summary>Makes a new one.</summary>
    /// <exception cref="JobDirectoryException">No place for it is safe and short enough.</exception>
    public static JobDirectory Create() => CreateIn(ChooseParent());

    /// <summary>Makes a new one in <paramref name="parent"/>, which exists and is safe.</summary>
    internal static JobDirectory CreateIn(string parent)
    {
        while (true)
        {
            var path = System.IO.Path.Combine(parent, Guid.NewGuid().ToString("N")[..NameLength]);
            if (TryLock(path + LockSuffix) is { } held)
            {
                CreatePrivate(path);
                return new JobDirectory(path, held);
            }
        }
    }

    /// <summary>Removes what launchers that were killed have left behind. Needs no job of one's own to be finished first.</summary>
    public void RemoveStale()
    {
        try
        {
            foreach (var lockPath in Directory.EnumerateFiles(Parent, "*" + LockSuffix))
            {
                using var held = TryLock(lockPath);
                if (held is not null)
                {
                    Remove(lockPath[..^LockSuffix.Length]);
                }
            }
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            // Tidying up is no reason to fail; the next launcher tries again.
        }
    }

    public void Dispose()
    {
        using (_lock)
        {
            Remove(Path);
        }
    }

    /// <summary>Makes a folder that only its owner can enter.</summary>
    internal static void CreatePrivate(string path)
    {
        if (OperatingSystem.IsWindows())
        {
            Directory.CreateDirectory(path); // Under the user's own temporary folder it inherits the right access list.
        }
        else
        {
            Directory.CreateDirectory(path, OwnerOnly);
        }
    }

    private static string ChooseParent()
    {
        if (OperatingSystem.IsWindows())
        {
            var parent = System.IO.Path.Combine(System.IO.Path.GetTempPath(), "distrun");
            Directory.CreateDirectory(parent);
            return parent;
        }

        return ChooseUnixParent(Environment.GetEnvironmentVariable("XDG_RUNTIME_DIR"), System.IO.Path.GetTempPath());
    }

    /// <summary>The first that is safe and short enough of: the session's runtime folder, the temporary folder, /tmp.</summary>
    [UnsupportedOSPlatform("windows")]
    internal static string ChooseUnixParent(string? runtimeFolder, string temporaryFolder)
    {
        var userId = Processes.Libc.GetUserId();
        var own = FormattableString.Invariant($"distrun-{userId}");
        string[] candidates =
        [
            .. runtimeFolder is { Length: > 0 } && System.IO.Path.IsPathRooted(runtimeFolder) && Directory.Exists(runtimeFolder)
                ? [System.IO.Path.Combine(runtimeFolder, "distrun")] : Array.Empty<string>(),
            System.IO.Path.Combine(temporaryFolder, own),
            System.IO.Path.Combine("/tmp", own),
        ];
        string? refusal = null;
        foreach (var candidate in candidates)
        {
            var problem = Encoding.UTF8.GetByteCount(candidate) + 1 + NameLength + LongestSocketName.Length > MaxSocketPathByteCount
                ? $"{candidate} is too long for the path of a socket in it"
                : PrepareParent(candidate, userId);
            if (problem is null)
            {
                return candidate;
            }

            refusal ??= problem;
        }

        throw new JobDirectoryException($"{refusal}; set TMPDIR to a short folder that only you can write to.");
    }

    /// <summary>Makes the folder if need be, and returns a clause that says why it is not safe, or <see langword="null"/>.</summary>
    [UnsupportedOSPlatform("windows")]
    private static string? PrepareParent(string path, uint userId)
    {
        try
        {
            var above = FileOwner.Of(System.IO.Path.GetDirectoryName(path)!, followLinks: true);
            if (!above.IsDirectory || (above.UserId != userId && above.UserId != 0) || (above.IsWritableByOthers && !above.IsSticky))
            {
                return $"others may replace {path}, because of who owns or may write the folder above it";
            }

            Directory.CreateDirectory(path, OwnerOnly);
            var self = FileOwner.Of(path, followLinks: false);
            return self.IsDirectory && self.UserId == userId && self.Permissions == OwnerOnly
                ? null
                : $"{path} exists but is not a folder of yours with mode 0700";
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return $"{path} cannot be used ({exception.Message})";
        }
    }

    /// <summary>
    /// Creates the lock file, or takes the one there is; <see langword="null"/> where somebody holds it, or has just removed it.
    /// </summary>
    private static FileStream? TryLock(string path)
    {
        FileStream held;
        try
        {
            // FileShare.None is flock(LOCK_EX | LOCK_NB) on Unix, and held by this process alone: the descriptor is not inherited.
            held = new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None, bufferSize: 0);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return null;
        }

        // Another launcher's RemoveStale may have locked and unlinked it between our opening and our locking: only its holder unlinks.
        if (File.Exists(path))
        {
            return held;
        }

        held.Dispose();
        return null;
    }

    /// <summary>Removes a job's folder, then its lock file; the lock is held.</summary>
    private static void Remove(string path)
    {
        for (var attempt = 1; !TryRemove(path) && attempt < RemoveAttemptCount; attempt++)
        {
            Thread.Sleep(RemovePause);
        }
    }

    /// <summary>
    /// One attempt. A store that is just starting may make its socket while the folder is being emptied; what is left in the end has no held lock, so the
    /// next launcher removes it.
    /// </summary>
    private static bool TryRemove(string path)
    {
        try
        {
            if (Directory.Exists(path))
            {
                Directory.Delete(path, recursive: true);
            }

            File.Delete(path + LockSuffix);
            return true;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }
}
