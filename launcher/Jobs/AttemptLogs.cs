using System.Globalization;
using Distributed.Launcher.CommandLine;

namespace Distributed.Launcher.Jobs;

/// <summary>The files of the ranks of one attempt.</summary>
/// <param name="folder">The attempt's; <see langword="null"/> for no files.</param>
/// <param name="areKept">Whether they outlive the job.</param>
/// <param name="options">Which files there are.</param>
internal sealed class AttemptLogs(string? folder, bool areKept, LogOptions options)
{
    /// <summary>Whether they outlive the job.</summary>
    public bool AreKept => areKept;

    /// <summary>Where a rank says why it failed; <see langword="null"/> where there are no files.</summary>
    public string? ErrorFileOf(int localRank) => FolderOf(localRank) is { } own ? Path.Combine(own, "error.json") : null;

    /// <summary>
    /// The file of a stream: of every one where a log folder was named, else of those that are redirected or teed; <see langword="null"/> where
    /// there is none.
    /// </summary>
    public string? PathOf(int localRank, OutputStreams stream)
    {
        var isWanted = options.Directory is not null || (options.Redirects[localRank] | options.Tee[localRank]).HasFlag(stream);
        return isWanted && FolderOf(localRank) is { } own
            ? Path.Combine(own, stream == OutputStreams.Out ? "stdout.log" : "stderr.log") : null;
    }

    /// <summary>A file that the ranks share; <see langword="null"/> where there are no files.</summary>
    public string? SharedPathOf(string name) => folder is null ? null : Path.Combine(folder, name);

    /// <summary>The folder of one rank; <see langword="null"/> where there are no files.</summary>
    public string? FolderOf(int localRank)
        => folder is null ? null : Path.Combine(folder, localRank.ToString(CultureInfo.InvariantCulture));
}
