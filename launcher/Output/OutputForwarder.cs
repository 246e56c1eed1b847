using System.Buffers;
using System.Diagnostics;

namespace Distributed.Launcher.Output;

/// <summary>Carries one stream of one rank to the console, on a thread of its own.</summary>
internal sealed class OutputForwarder
{
    private const int ReadByteCount = 32 * 1024;
    private const int StackByteCount = 256 * 1024;
    private const long NotReading = 0;

    private readonly Stream _source;
    private readonly ConsoleOutput _console;
    private readonly ConsoleTarget _target;
    private readonly LineAssembler? _lines;
    private readonly TailBuffer? _tail;
    private readonly ArrayBufferWriter<byte> _complete = new();
    private readonly Thread _thread;
    private long _readingSince;
    private bool _isBroken;
    private volatile bool _hasCarried;

    private OutputForwarder(Stream source, ConsoleOutput console, ConsoleTarget target, LineAssembler? lines, TailBuffer? tail)
    {
        _source = source;
        _console = console;
        _target = target;
        _lines = lines;
        _tail = tail;
        _thread = new Thread(Run, StackByteCount) { IsBackground = true, Name = "output" };
    }

    /// <summary>Whether there has been anything to carry.</summary>
    public bool HasCarried => _hasCarried;

    /// <summary>Starts to carry.</summary>
    /// <param name="source">The rank's end; owned from now on.</param>
    /// <param name="console">The launcher's end.</param>
    /// <param name="target">Which of its streams.</param>
    /// <param name="prefix">Goes before each line, empty for none; <see langword="null"/> to pass the bytes on as they come.</param>
    /// <param name="tail">Keeps the last lines, where they are wanted.</param>
    public static OutputForwarder Start(Stream source, ConsoleOutput console, ConsoleTarget target, byte[]? prefix, TailBuffer? tail)
    {
        var forwarder = new OutputForwarder(source, console, target, prefix is null ? null : new LineAssembler(prefix), tail);
        forwarder._thread.Start();
        return forwarder;
    }

    /// <summary>
    /// Waits until the stream has ended and all of it has been written. A stream that a process outside the job holds open may never end,
    /// so after <paramref name="silence"/> without a byte it counts as ended; a console that does not take the output is waited for.
    /// </summary>
    public void WaitForEnd(TimeSpan silence)
    {
        while (!_thread.Join(TimeSpan.FromMilliseconds(20)))
        {
            if (Volatile.Read(ref _readingSince) is not NotReading and var since && Stopwatch.GetElapsedTime(since) > silence)
            {
                return;
            }
        }
    }

    private void Run()
    {
        var buffer = new byte[ReadByteCount];
        while (Read(buffer) is > 0 and var count)
        {
            _hasCarried = true;
            var piece = buffer.AsSpan(0, count);
            _tail?.Append(piece);
            if (_lines is null)
            {
                Write(piece);
            }
            else
            {
                _lines.Append(piece, _complete);
                Write();
            }

            if (_isBroken && _target == ConsoleTarget.Out)
            {
                break;
            }
        }

        _lines?.End(_complete);
        Write();
        _source.Dispose();
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

    private void Write()
    {
        if (_complete.WrittenCount > 0)
        {
            Write(_complete.WrittenSpan);
            _complete.ResetWrittenCount();
        }
    }

    /// <summary>
    /// Writes, as long as the console takes it. When stdout is closed or full the rank is to find its own stdout closed, as it would
    /// without a launcher; stderr, which carries no results, is read on for the report.
    /// </summary>
    private void Write(ReadOnlySpan<byte> bytes)
    {
        if (_isBroken)
        {
            return;
        }

        try
        {
            if (_lines is null)
            {
                _console.WriteText(_target, bytes);
            }
            else
            {
                _console.WriteLines(_target, bytes);
            }
        }
        catch (IOException exception)
        {
            _isBroken = true;
            _console.TellBroken(_target, exception);
        }
    }
}
