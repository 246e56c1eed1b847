using System.Globalization;

namespace Distributed.Launcher.Jobs;

/// <summary>
/// Where the ranks of one attempt leave their error.json: torchrun's <c>&lt;log-dir&gt;/&lt;run id&gt;_XXXXXXXX/attempt_N/&lt;local
/// rank&gt;/</c> where a log folder was named, else in the job's own directory, which goes with the job.
/// </summary>
internal sealed class ErrorFiles
{
    private readonly string? _attempt;

    private ErrorFiles(string? attempt, bool areKept)
    {
        _attempt = attempt;
        AreKept = areKept;
    }

    /// <summary>Whether they outlive the job.</summary>
    public bool AreKept { get; }

    /// <summary>Makes the folders.</summary>
    /// <param name="logDirectory">The user's choice: a folder, /dev/null for no files, or none.</param>
    /// <param name="runId">Goes into the folder's name.</param>
    /// <param name="job">The job's own directory.</param>
    /// <param name="localWorldSize">The ranks that need a folder.</param>
    /// <exception cref="JobDirectoryException">They cannot be made.</exception>
    public static ErrorFiles Create(string? logDirectory, string runId, JobDirectory job, int localWorldSize)
    {
        if (logDirectory == "/dev/null")
        {
            return new ErrorFiles(null, areKept: false);
        }

        var run = logDirectory is null
            ? job.Path
            : Path.GetFullPath(Path.Combine(logDirectory, $"{runId.Replace('/', '_')}_{Guid.NewGuid().ToString("N")[..8]}"));
        var files = new ErrorFiles(Path.Combine(run, "attempt_0"), areKept: logDirectory is not null);
        try
        {
            for (var localRank = 0; localRank < localWorldSize; localRank++)
            {
                Directory.CreateDirectory(Path.GetDirectoryName(files.Of(localRank)!)!);
            }
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new JobDirectoryException(
                $"The folder {run} for logs cannot be made ({exception.Message}); name another one with --log-dir.");
        }

        return files;
    }

    /// <summary>The file of one rank; <see langword="null"/> where there are none.</summary>
    public string? Of(int localRank)
        => _attempt is null ? null : Path.Combine(_attempt, localRank.ToString(CultureInfo.InvariantCulture), "error.json");
}
