using System.Globalization;

namespace Distributed.Launcher.Jobs;

/// <summary>
/// The folders of one job's ranks: torchrun's <c>&lt;log-dir&gt;/&lt;run id&gt;_XXXXXXXX/attempt_N/&lt;local rank&gt;/</c> where a log folder
/// was named, else in the job's own directory, which goes with the job.
/// </summary>
internal sealed class JobLogs
{
    private readonly string? _run;

    /// <param name="logDirectory">The user's choice: a folder, /dev/null for no files, or none.</param>
    /// <param name="runId">Goes into the folder's name.</param>
    /// <param name="job">The job's own directory.</param>
    public JobLogs(string? logDirectory, string runId, JobDirectory job)
    {
        AreKept = logDirectory is not null;
        _run = logDirectory switch
        {
            null => job.Path,
            "/dev/null" => null,
            _ => Path.GetFullPath(Path.Combine(logDirectory, $"{runId.Replace('/', '_')}_{Guid.NewGuid().ToString("N")[..8]}")),
        };
    }

    /// <summary>Whether the files outlive the job.</summary>
    public bool AreKept { get; }

    /// <summary>Makes the folders of one attempt.</summary>
    /// <param name="number">The attempt.</param>
    /// <param name="localWorldSize">The ranks that need a folder.</param>
    /// <exception cref="JobDirectoryException">They cannot be made.</exception>
    public AttemptLogs Begin(int number, int localWorldSize)
    {
        var attempt = new AttemptLogs(_run is null ? null : Path.Combine(_run, string.Create(CultureInfo.InvariantCulture, $"attempt_{number}")), AreKept);
        try
        {
            for (var localRank = 0; localRank < localWorldSize; localRank++)
            {
                if (attempt.FolderOf(localRank) is { } folder)
                {
                    Directory.CreateDirectory(folder);
                }
            }
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new JobDirectoryException(
                $"The folder {_run} for logs cannot be made ({exception.Message}); name another one with --log-dir.");
        }

        return attempt;
    }
}
