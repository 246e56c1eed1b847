namespace Distributed.Launcher.CommandLine;

/// <summary>When the prefixes of lines are coloured.</summary>
internal enum ColorChoice
{
    Auto,
    Always,
    Never,
}

/// <summary>Where the output of the ranks goes, as the user asked for it, checked.</summary>
internal sealed record LogOptions
{
    /// <summary>Where no file is to be.</summary>
    public const string NoDirectory = "/dev/null";

    /// <summary>
    /// Where files are kept: a folder, or <see cref="NoDirectory"/>; <see langword="null"/> for error files that go with the job.
    /// </summary>
    public string? Directory { get; init; }

    /// <summary>The streams that go to a file and not to the console.</summary>
    public RankStreams Redirects { get; init; } = RankStreams.None;

    /// <summary>The streams that go to a file and to the console.</summary>
    public RankStreams Tee { get; init; } = RankStreams.None;

    /// <summary>The local ranks that are shown on the console; <see langword="null"/> for all.</summary>
    public IReadOnlyList<int>? ConsoleRanks { get; init; }

    /// <summary>Lines of stdout with one of these are copied to a file that the ranks share.</summary>
    public IReadOnlyList<string> OutFilters { get; init; } = [];

    /// <summary>Lines of stderr with one of these are copied to a file that the ranks share.</summary>
    public IReadOnlyList<string> ErrorFilters { get; init; } = [];

    /// <summary>A file that reaches it is put aside for a new one; 0 for no limit.</summary>
    public long MaxFileByteCount { get; init; }

    /// <summary>Template of the prefix of a rank's lines; <see langword="null"/> for the default one.</summary>
    public string? PrefixTemplate { get; init; }

    public ColorChoice Color { get; init; }

    /// <summary>Whether equal lines of several ranks are shown as one.</summary>
    public bool Fold { get; init; }

    /// <summary>Whether events are written to stderr.</summary>
    public bool EventsOnConsole { get; init; }

    /// <summary>The file that events are appended to; <see langword="null"/> for none.</summary>
    public string? EventFile { get; init; }

    /// <summary>Whether something was asked for that needs files.</summary>
    public bool NeedsFiles => Redirects != RankStreams.None || Tee != RankStreams.None || OutFilters.Count > 0 || ErrorFilters.Count > 0;
}
