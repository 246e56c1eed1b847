using Distributed.Launcher.CommandLine;
using Distributed.Launcher.Jobs;

namespace Distributed.Launcher.Output;

/// <summary>Where the output of all ranks of one attempt goes: the console, their files, and the files that they share.</summary>
internal sealed class AttemptOutput : IDisposable
{
    private readonly LaunchOptions _options;
    private readonly ConsoleOutput _console;
    private readonly AttemptLogs _logs;
    private readonly RankPlacement _placement;
    private readonly string _host;
    private readonly LineCopies? _outCopies;
    private readonly LineCopies? _errorCopies;
    private readonly LineFolder? _folder;

    /// <param name="options">What the user asked for.</param>
    /// <param name="console">The launcher's own streams.</param>
    /// <param name="logs">Where files go.</param>
    /// <param name="placement">Where the ranks stand.</param>
    /// <param name="host">The name of this machine.</param>
    public AttemptOutput(LaunchOptions options, ConsoleOutput console, AttemptLogs logs, RankPlacement placement, string host)
    {
        _options = options;
        _console = console;
        _logs = logs;
        _placement = placement;
        _host = host;
        _outCopies = Copies("filtered_stdout.log", options.Logs.OutFilters);
        _errorCopies = Copies("filtered_stderr.log", options.Logs.ErrorFilters);
        if (options.Logs.Fold && placement.LocalWorldSize > 1)
        {
            var prefix = Prefix(ConsoleTarget.Out, isTee: false);
            _folder = new LineFolder(console, placement.LocalWorldSize, ranks => prefix.Of(ranks, placement.FirstRank));
        }
    }

    /// <summary>Where the streams of one rank go.</summary>
    /// <param name="localRank">The rank.</param>
    /// <param name="tail">Keeps the last lines of its stderr.</param>
    public (StreamRoute Out, StreamRoute Error) RoutesOf(int localRank, TailBuffer tail)
    {
        // Of the bundled worker, rank 0's stdout carries the results and nothing else; all that is said goes to stderr.
        var isBundled = _options.Program.IsBundled;
        var hasResults = isBundled && _placement.FirstRank + localRank == 0;
        var outTarget = isBundled && !hasResults ? ConsoleTarget.Error : ConsoleTarget.Out;
        var output = Route(localRank, OutputStreams.Out, outTarget, isRaw: hasResults);
        var error = Route(localRank, OutputStreams.Error, ConsoleTarget.Error, isRaw: false);
        return (output, error with { Tail = tail });
    }

    /// <summary>Shows what waits to be shown.</summary>
    public void Flush() => _folder?.Flush();

    public void Dispose()
    {
        _folder?.Dispose();
        _outCopies?.Dispose();
        _errorCopies?.Dispose();
    }

    private StreamRoute Route(int localRank, OutputStreams stream, ConsoleTarget target, bool isRaw)
    {
        var logs = _options.Logs;
        var isTee = logs.Tee[localRank].HasFlag(stream);
        var isShown = (isTee || !logs.Redirects[localRank].HasFlag(stream)) && (logs.ConsoleRanks?.Contains(localRank) ?? true);
        var prefix = Prefix(target, isTee).Of([localRank], _placement.FirstRank);
        var copies = stream == OutputStreams.Out ? _outCopies : _errorCopies;
        return new StreamRoute
        {
            Console = isShown ? target : null,
            Prefix = isRaw || (prefix.Length == 0 && _placement.WorldSize == 1) ? null : prefix,
            Folded = isRaw || _folder is null ? null : new LineFolder.Lines(_folder, localRank),
            File = _logs.PathOf(localRank, stream) is { } path ? Open(path) : null,
            Copies = copies,
            CopyPrefix = copies is null ? [] : Prefix(target: null, isTee).Of([localRank], _placement.FirstRank),
        };
    }

    private LinePrefix Prefix(ConsoleTarget? target, bool isTee)
    {
        var template = _options.Logs.PrefixTemplate
            ?? (isTee ? LinePrefix.TeeTemplate : _placement.WorldSize > 1 ? LinePrefix.DefaultTemplate : "");
        var isColored = target is { } stream && _options.Logs.Color switch
        {
            ColorChoice.Always => true,
            ColorChoice.Never => false,
            _ => ConsoleOutput.TakesColor(stream),
        };
        return new LinePrefix(template, _options.Role, _host, isColored);
    }

    private LineCopies? Copies(string name, IReadOnlyList<string> texts)
        => texts.Count > 0 && _logs.SharedPathOf(name) is { } path ? new LineCopies(Open(path), texts) : null;

    private LogFile Open(string path) => new(path, _options.Logs.MaxFileByteCount, problem => _console.Say($"distrun: {problem}"));
}
