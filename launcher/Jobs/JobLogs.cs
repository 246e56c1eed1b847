using System.Globalization;
using Distributed.Launcher.CommandLine;

namespace Distributed.Launcher.Jobs;

/// <summary>
/// The folders of one job's ranks: torchrun's <c>&lt;log-dir&gt;/&lt;run id&gt;_XXXXXXXX/attempt_N/&lt;local rank&gt;/</c> where a log folder
/// was named or is needed, else in the job's own directory, which goes with the job.
/// </summary>
internal sealed class JobLogs
{
    private readonly LogOptions _options;
    private readonly string? _run;

    /// <param name="options">The user's choice.</param>
    /// <param name="runId">Goes into the folder's name.</param>
    /// <param name="job">The job's own directory.</param>
    /// <exception cref="JobDirectoryException">A folder for the logs cannot be made.</exception>
    public JobLogs(LogOptions options, string runId, JobDirectory job)
    {
        _options = options;
        AreKept = options.Directory is not null || options.NeedsFiles;
        _run = options.Directory == LogOptions.NoDirectory ? null
            : AreKept ? Path.GetFullPath(Path.Combine(options.Directory ?? MakeTemporary(), $"{runId.Replace('/', '_')}_{Guid.NewGuid().ToString("N")[..8]}"))
            : job.Path;
    }

    /// <summary>Whether the files outlive the job.</summary>
    public bool AreKept { get; }

    /// <summary>The folder of the logs, if the user needs to be told of it.</summary>
    public string? UnnamedFolder => _options.Directory is null && AreKept ? _run : null;

    /// <summary>Makes the folders of one attempt.</summary>
    /// <param name="number">The attempt.</param>
    /// <param name="localWorldSize">The ranks that need a folder.</param>
    /// <exception cref="JobDirectoryException">They cannot be made.</exception>
    public AttemptLogs Begin(int number, int localWorldSize)
    {
        var folder = _run is null ? null : Path.Combine(_run, string.Create(CultureInfo.InvariantCulture, $"attempt_{number}"));
        var attempt = new AttemptLogs(folder, AreKept, _options);
        try
        {
            for (var localRank = 0; localRank < localWorldSize; localRank++)
            {
                if (attempt.FolderOf(localRank) is { } own)
                {
                    Directory.CreateDirectory(own);
                }
            }
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw CannotMake(folder!, exception);
        }

        return attempt;
    }

    private static string MakeTemporary()
    {
        try
        {
            return Directory.CreateTempSubdirectory("distrun_").FullName;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw CannotMake(Path.GetTempPath(), exception);
        }
    }

    private static JobDirectoryException CannotMake(string folder, Exception exception)
        => new($"The folder {folder} for logs cannot be made ({exception.Message}); name another one with --log-dir.");
}
