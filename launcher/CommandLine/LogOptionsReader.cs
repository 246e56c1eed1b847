namespace Distributed.Launcher.CommandLine;

/// <summary>Reads the options that say where the output of the ranks goes.</summary>
internal sealed class LogOptionsReader(OptionValues values)
{
    private const long LeastFileByteCount = 4096;

    /// <summary>Reads them; what is wrong has its default in the result.</summary>
    public LogOptions Read()
    {
        if (values.Text(LauncherOption.LogsSpecs) is { } specs and not "default")
        {
            values.Report($"{values.Source(LauncherOption.LogsSpecs)} {specs} is a plugin of torchrun's, a Python class; leave it out, and use --log-dir, --redirects and --tee.");
        }

        var options = new LogOptions
        {
            Directory = Directory(),
            Redirects = Streams(LauncherOption.Redirects),
            Tee = Streams(LauncherOption.Tee),
            ConsoleRanks = values.Text(LauncherOption.LocalRanksFilter) is null
                ? null : values.Numbers(LauncherOption.LocalRanksFilter, 0, int.MaxValue, "local ranks", "0,1"),
            OutFilters = Filters(LauncherOption.DuplicateStdoutFilters),
            ErrorFilters = Filters(LauncherOption.DuplicateStderrFilters),
            MaxFileByteCount = Size(),
            PrefixTemplate = values.TextOrEmpty(LauncherOption.LogLinePrefixTemplate)
                ?? values.Variable("TORCHELASTIC_LOG_LINE_PREFIX_TEMPLATE"),
            Color = values.Choice(LauncherOption.Color, "auto", "auto", "always", "never") switch
            {
                "always" => ColorChoice.Always,
                "never" => ColorChoice.Never,
                _ => ColorChoice.Auto,
            },
            Fold = values.Flag(LauncherOption.Fold),
            EventsOnConsole = values.Choice(LauncherOption.EventLogHandler, "null", "null", "console") == "console",
            EventFile = EventFile(),
        };
        if (options is { Directory: LogOptions.NoDirectory, NeedsFiles: true })
        {
            values.Report("--log-dir /dev/null leaves no place for the files of --redirects, --tee and --duplicate-*-filters; name a folder.");
        }

        return options;
    }

    /// <summary>Texts with commas between them, two commas for one in a text.</summary>
    internal static string[] SplitFilters(string text)
    {
        const char Comma = '\0'; // in no argument or variable
        return [.. text.Replace(",,", Comma.ToString(), StringComparison.Ordinal)
            .Split(',', StringSplitOptions.RemoveEmptyEntries)
            .Select(part => part.Replace(Comma, ','))];
    }

    private string? Directory()
    {
        var folder = values.Text(LauncherOption.LogDir);
        if (folder is not (null or LogOptions.NoDirectory) && File.Exists(folder))
        {
            values.Report($"{values.Source(LauncherOption.LogDir)} {folder} is a file; name a folder, which is made if need be.");
        }

        return folder;
    }

    private RankStreams Streams(LauncherOption option)
    {
        if (values.Text(option) is not { } text)
        {
            return RankStreams.None;
        }

        if (RankStreams.Parse(text) is { } streams)
        {
            return streams;
        }

        values.Report($"{values.Source(option)} {text} is neither 0, 1, 2, 3 nor a list of rank:0..3; write 3, or 0:1,12:3, say.");
        return RankStreams.None;
    }

    private string[] Filters(LauncherOption option) => values.Text(option) is { } text ? SplitFilters(text) : [];

    private long Size()
    {
        if (values.Text(LauncherOption.LogMaxSize) is not { } text || text == "0")
        {
            return 0;
        }

        var unit = char.ToUpperInvariant(text[^1]) switch { 'K' => 1L << 10, 'M' => 1L << 20, 'G' => 1L << 30, _ => 1 };
        if (OptionValues.TryParse(unit == 1 ? text : text[..^1], out var number) && number * unit >= LeastFileByteCount)
        {
            return number * unit;
        }

        values.Report($"{values.Source(LauncherOption.LogMaxSize)} {text} is not a size of at least 4K; write 64M, say.");
        return 0;
    }

    private string? EventFile()
    {
        var path = values.Text(LauncherOption.EventLog);
        if (path is not null && System.IO.Directory.Exists(path))
        {
            values.Report($"{values.Source(LauncherOption.EventLog)} {path} is a folder; name a file.");
        }

        return path;
    }
}
