using System.Globalization;

namespace Distributed.Launcher.Jobs;

/// <summary>The files of the ranks of one attempt.</summary>
/// <param name="folder">The attempt's; <see langword="null"/> for no files.</param>
/// <param name="areKept">Whether they outlive the job.</param>
internal sealed class AttemptLogs(string? folder, bool areKept)
{
    /// <summary>Whether they outlive the job.</summary>
    public bool AreKept => areKept;

    /// <summary>Where a rank says why it failed; <see langword="null"/> where there are no files.</summary>
    public string? ErrorFileOf(int localRank) => FolderOf(localRank) is { } own ? Path.Combine(own, "error.json") : null;

    /// <summary>The folder of one rank; <see langword="null"/> where there are no files.</summary>
    public string? FolderOf(int localRank)
        => folder is null ? null : Path.Combine(folder, localRank.ToString(CultureInfo.InvariantCulture));
}
