using System.Diagnostics;
using System.Runtime.Versioning;
using System.Text;
using Distributed.Launcher.Processes;

namespace Distributed.Launcher.Output;

/// <summary>One of the launcher's own two output streams.</summary>
internal enum ConsoleTarget
{
    Out,
    Error,
}

/// <summary>
/// The launcher's stdout and stderr, shared by the outputs of all ranks: whoever writes, writes whole lines, or is the only one who writes
/// there. Safe for use from several threads.
/// </summary>
/// <remarks>
/// Nothing is queued: a rank whose output the console does not take waits for the console, as it would without a launcher. When both
/// streams are one terminal, lines for it wait for a moment while a text without its line feed (a sentence that is being generated) is
/// growing there.
/// </remarks>
internal sealed class ConsoleOutput
{
    private static readonly TimeSpan PatienceInAll = TimeSpan.FromSeconds(2);

    private readonly Stream _out;
    private readonly Stream _error;
    private readonly bool _sameTerminal;
    private readonly TimeSpan _patience;
    private readonly object _outGate = new(); // objects, not Locks: lines wait on the gate for the text to end
    private readonly object _errorGate;
    private int _brokenIsTold;
    private bool _textIsOpen;
    private long _lastTextTime;

    /// <param name="output">Where results go.</param>
    /// <param name="error">Where everything else goes.</param>
    /// <param name="sameTerminal">Whether both are shown on one screen.</param>
    /// <param name="patience">How long lines wait after the last piece of a text; by default 200 ms.</param>
    public ConsoleOutput(Stream output, Stream error, bool sameTerminal, TimeSpan? patience = null)
    {
        _patience = patience ?? TimeSpan.FromMilliseconds(200);
        _out = output;
        _error = error;
        _sameTerminal = sameTerminal;
        _errorGate = sameTerminal ? _outGate : new object();
    }

    /// <summary>The launcher's own streams.</summary>
    public static ConsoleOutput OpenStandard()
        => OperatingSystem.IsWindows()
            ? new(Console.OpenStandardOutput(), Console.OpenStandardError(), !Console.IsOutputRedirected && !Console.IsErrorRedirected)
            : new(DescriptorStream.Standard(1), DescriptorStream.Standard(2), TerminalName(1) is { } name && name == TerminalName(2));

    /// <summary>Whether a stream is shown on a screen whose user has not asked for no colours (no-color.org).</summary>
    public static bool TakesColor(ConsoleTarget target)
        => Environment.GetEnvironmentVariable("NO_COLOR") is null or ""
            && (OperatingSystem.IsWindows()
                ? !(target == ConsoleTarget.Out ? Console.IsOutputRedirected : Console.IsErrorRedirected)
                : Libc.IsTerminal(target == ConsoleTarget.Out ? 1 : 2) == 1);

    /// <summary>Writes bytes as they are, at once.</summary>
    /// <exception cref="IOException">The stream does not take them.</exception>
    public void WriteText(ConsoleTarget target, ReadOnlySpan<byte> text)
    {
        lock (Gate(target))
        {
            Stream(target).Write(text);
            if (target == ConsoleTarget.Out)
            {
                _textIsOpen = text[^1] != (byte)'\n';
                _lastTextTime = Stopwatch.GetTimestamp();
                Monitor.PulseAll(_outGate);
            }
        }
    }

    /// <summary>Writes whole lines, with no other output between or inside them.</summary>
    /// <exception cref="IOException">The stream does not take them.</exception>
    public void WriteLines(ConsoleTarget target, ReadOnlySpan<byte> lines)
    {
        lock (Gate(target))
        {
            if (_sameTerminal)
            {
                LetTextEnd(target);
            }

            Stream(target).Write(lines);
        }
    }

    /// <summary>Says something of the launcher's own on stderr; nobody may be there to hear it.</summary>
    public void Say(string text) => Say(ConsoleTarget.Error, text);

    /// <inheritdoc cref="Say(string)"/>
    public void Say(ConsoleTarget target, string text)
    {
        try
        {
            WriteLines(target, Encoding.UTF8.GetBytes(text + "\n"));
        }
        catch (IOException)
        {
            // A closed stream is no reason to fail.
        }
    }

    /// <summary>Says once that stdout takes no more, unless that is only its reader's wish (a pipe into head, say).</summary>
    public void TellBroken(ConsoleTarget target, IOException exception)
    {
        if (target == ConsoleTarget.Out && exception.HResult != Libc.BrokenPipe && Interlocked.Exchange(ref _brokenIsTold, 1) == 0)
        {
            Say($"distrun: stdout cannot be written ({exception.Message}); the ranks find theirs closed.");
        }
    }

    [UnsupportedOSPlatform("windows")]
    private static unsafe string? TerminalName(int descriptor)
    {
        const int MaxByteCount = 256;
        var name = stackalloc byte[MaxByteCount];
        return Libc.IsTerminal(descriptor) == 1 && Libc.TerminalName(descriptor, name, MaxByteCount) == 0
            ? System.Runtime.InteropServices.Marshal.PtrToStringUTF8((nint)name)
            : null;
    }

    private Stream Stream(ConsoleTarget target) => target == ConsoleTarget.Out ? _out : _error;

    private object Gate(ConsoleTarget target) => target == ConsoleTarget.Out ? _outGate : _errorGate;

    /// <summary>Waits while text is still growing, and ends its line if it does not end itself.</summary>
    private void LetTextEnd(ConsoleTarget target)
    {
        var start = Stopwatch.GetTimestamp();
        while (_textIsOpen)
        {
            var quiet = _patience - Stopwatch.GetElapsedTime(_lastTextTime);
            var left = PatienceInAll - Stopwatch.GetElapsedTime(start);
            var wait = quiet < left ? quiet : left;
            if (wait <= TimeSpan.Zero)
            {
                Stream(target).Write("\n"u8);
                _textIsOpen = false;
                return;
            }

            Monitor.Wait(_outGate, wait);
        }
    }
}
