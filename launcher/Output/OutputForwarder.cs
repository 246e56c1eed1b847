using System.Buffers;
using System.Diagnostics;
using Distributed.Launcher.Processes;

namespace Distributed.Launcher.Output;

/// <summary>Carries one stream of one rank to where it goes, on a thread of its own.</summary>
internal sealed class OutputForwarder
{
    private const int ReadByteCount = 32 * 1024;
    private const int StackByteCount = 256 * 1024;
    private const long NotReading = 0;

    private readonly Stream _source;
    private readonly ConsoleOutput _console;
    private readonly StreamRoute _route;
    private readonly LineAssembler? _lines; // for the console
    private readonly LineAssembler? _copyLines; // for the file that ranks share
    private readonly ArrayBufferWriter<byte> _complete = new();
    private readonly Thread _thread;
    private long _readingSince;
    private bool _isBroken;
    private volatile bool _hasCarried;

    private OutputForwarder(Stream source, ConsoleOutput console, StreamRoute route)
    {
        _source = source;
        _console = console;
        _route = route;
        _lines = route.Console is null ? null
            : route.Folded is not null ? new LineAssembler([])
            : route.Prefix is { } prefix ? new LineAssembler(prefix)
            : null;
        _copyLines = route.Copies is null ? null : new LineAssembler(route.CopyPrefix);
        _thread = new Thread(Run, StackByteCount) { IsBackground = true, Name = "output" };
    }

    /// <summary>Whether there has been anything to carry.</summary>
    public bool HasCarried => _hasCarried;

    /// <summary>Starts to carry.</summary>
    /// <param name="source">The rank's end; owned from now on.</param>
    /// <param name="console">The launcher's end.</param>
    /// <param name="route">Where it goes.</param>
    public static OutputForwarder Start(Stream source, ConsoleOutput console, StreamRoute route)
    {
        var forwarder = new OutputForwarder(source, console, route);
        forwarder._thread.Start();
        return forwarder;
    }

    /// <summary>
    /// Waits until the stream has ended and all of it has been written. A stream that a process outside the job holds open may never end,
    /// so after <paramref name="silence"/> of this wait without a byte it counts as ended; a console that does not take the output is waited for.
    /// </summary>
    /// <remarks>
    /// How long the thread has been reading before says nothing: on a busy machine it may not have run since the rank wrote its last words.
    /// </remarks>
    public void WaitForEnd(TimeSpan silence)
    {
        var began = Stopwatch.GetTimestamp();
        while (!_thread.Join(TimeSpan.FromMilliseconds(20)))
        {
            if (Volatile.Read(ref _readingSince) is not NotReading and var since
                && Stopwatch.GetElapsedTime(Math.Max(since, began)) > silence
                && !HasUnread())
            {
                return;
            }
        }
    }

    /// <summary>Waits until the stream has ended, but no longer than <paramref name="limit"/>.</summary>
    public void TryWaitForEnd(TimeSpan limit) => _thread.Join(limit);

    private void Run()
    {
        var buffer = new byte[ReadByteCount];
        while (Read(buffer) is > 0 and var count)
        {
            _hasCarried = true;
            Carry(buffer.AsSpan(0, count));
            if (_isBroken && _route is { Console: ConsoleTarget.Out, File: null, Copies: null })
            {
                break;
            }
        }

        _lines?.End(_complete);
        ShowLines();
        _copyLines?.End(_complete);
        CopyLines();
        _route.File?.Dispose();
        _source.Dispose();
    }

    private void Carry(ReadOnlySpan<byte> piece)
    {
        _route.Tail?.Append(piece);
        _route.File?.Write(piece);
        if (_copyLines is not null)
        {
            _copyLines.Append(piece, _complete);
            CopyLines();
        }

        if (_lines is not null)
        {
            _lines.Append(piece, _complete);
            ShowLines();
        }
        else if (_route.Console is { } target)
        {
            Show(target, piece);
        }
    }

    // Bytes, or the end, that only the thread has not come to yet.
    private bool HasUnread()
    {
        try
        {
            return !OperatingSystem.IsWindows() && _source is DescriptorStream { IsReadable: true };
        }
        catch (ObjectDisposedException)
        {
            return true; // the thread is at its end
        }
    }

    private int Read(byte[] buffer)
    {
        Volatile.Write(ref _readingSince, Stopwatch.GetTimestamp());
        try
        {
            return _source.Read(buffer);
        }
        catch (IOException)
        {
            return 0;
        }
        finally
        {
            Volatile.Write(ref _readingSince, NotReading);
        }
    }

    private void ShowLines()
    {
        if (_route is { Console: { } target, Folded: { } folded })
        {
            for (var lines = _complete.WrittenSpan; TakeLine(ref lines, out var line);)
            {
                folded.Folder.Add(target, folded.LocalRank, line[..^1]);
            }
        }
        else if (_complete.WrittenCount > 0)
        {
            Show(_route.Console!.Value, _complete.WrittenSpan);
        }

        _complete.ResetWrittenCount();
    }

    private void CopyLines()
    {
        for (var lines = _complete.WrittenSpan; TakeLine(ref lines, out var line);)
        {
            _route.Copies!.Offer(line, _route.CopyPrefix.Length);
        }

        _complete.ResetWrittenCount();
    }

    /// <summary>Takes the next line, with its line feed.</summary>
    private static bool TakeLine(ref ReadOnlySpan<byte> lines, out ReadOnlySpan<byte> line)
    {
        var end = lines.IndexOf((byte)'\n') + 1;
        line = lines[..end];
        lines = lines[end..];
        return end > 0;
    }

    /// <summary>
    /// Shows bytes, as long as the console takes them. When stdout is closed or full the rank is to find its own stdout closed, as it would
    /// without a launcher, unless a file takes it too; stderr, which carries no results, is read on for the report.
    /// </summary>
    private void Show(ConsoleTarget target, ReadOnlySpan<byte> bytes)
    {
        if (_isBroken)
        {
            return;
        }

        try
        {
            if (_lines is null)
            {
                _console.WriteText(target, bytes);
            }
            else
            {
                _console.WriteLines(target, bytes);
            }
        }
        catch (IOException exception)
        {
            _isBroken = true;
            _console.TellBroken(target, exception);
        }
    }
}
