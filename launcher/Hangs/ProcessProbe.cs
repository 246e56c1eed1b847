using System.Buffers.Text;
using System.Diagnostics;
using System.Globalization;
using Distributed.Collectives.Hosting;
using Microsoft.Win32.SafeHandles;

namespace Distributed.Launcher.Hangs;

/// <summary>Looks at a process from outside, again and again: whether it is there, is stopped, does anything.</summary>
/// <remarks>The look that is taken every second costs one system call on Linux; see proc(5) for what it reads.</remarks>
internal sealed class ProcessProbe(int processId) : IDisposable
{
    private const int TicksPerSecond = 100; // USER_HZ of Linux
    private const int MaxStatusByteCount = 1024;
    private const int UserTimeField = 11; // after the name: state is 0
    private const byte StoppedState = (byte)'T';

    private SafeFileHandle? _status;

    public int ProcessId => processId;

    /// <summary>Whether a signal has stopped it (SIGSTOP, SIGTSTP); known on Linux only.</summary>
    public bool IsStopped { get; private set; }

    /// <summary>What it has used of the processors since it began.</summary>
    public TimeSpan ProcessorTime { get; private set; }

    /// <summary>Looks again; <see langword="false"/> where the process has ended.</summary>
    public bool Look()
    {
        if (!Platform.UsesLinux)
        {
            return LookElsewhere();
        }

        Span<byte> text = stackalloc byte[MaxStatusByteCount];
        try
        {
            _status ??= File.OpenHandle(string.Create(CultureInfo.InvariantCulture, $"/proc/{processId}/stat"));
            text = text[..RandomAccess.Read(_status, text, 0)];
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return false;
        }

        var fields = FieldsOf(text);
        if (fields is not [var state and not ((byte)'Z' or (byte)'X'), ..])
        {
            return false;
        }

        IsStopped = state == StoppedState;
        var rest = fields;
        for (var field = 0; field < UserTimeField; field++)
        {
            rest = rest[(rest.IndexOf((byte)' ') + 1)..];
        }

        if (!Utf8Parser.TryParse(rest, out long userTicks, out var length) || !Utf8Parser.TryParse(rest[(length + 1)..], out long systemTicks, out _))
        {
            return false;
        }

        ProcessorTime = TimeSpan.FromTicks((userTicks + systemTicks) * (TimeSpan.TicksPerSecond / TicksPerSecond));
        return true;
    }

    /// <summary>Whether one of its threads runs, wants to run, or waits for a disk; known on Linux only.</summary>
    public bool HasBusyThread()
    {
        try
        {
            return Platform.UsesLinux && Directory.EnumerateDirectories($"/proc/{processId}/task")
                .Any(thread => FieldsOf(File.ReadAllBytes(thread + "/stat")) is [(byte)'R' or (byte)'D', ..]);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return false; // It has just ended.
        }
    }

    /// <summary>Bytes that it has read and written so far, from files, pipes and disks; 0 where that is not known.</summary>
    public long TransferredByteCount()
    {
        try
        {
            return Platform.UsesLinux
                ? File.ReadLines($"/proc/{processId}/io")
                    .Where(line => line.StartsWith("rchar", StringComparison.Ordinal) || line.StartsWith("wchar", StringComparison.Ordinal)
                        || line.StartsWith("read_bytes", StringComparison.Ordinal))
                    .Sum(line => long.Parse(line.AsSpan(line.IndexOf(':', StringComparison.Ordinal) + 1), CultureInfo.InvariantCulture))
                : 0;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return 0;
        }
    }

    public void Dispose() => _status?.Dispose();

    // What follows the name, which is in brackets and may hold anything.
    private static ReadOnlySpan<byte> FieldsOf(ReadOnlySpan<byte> status)
        => status.LastIndexOf((byte)')') is >= 0 and var end && end + 2 < status.Length ? status[(end + 2)..] : [];

    private bool LookElsewhere()
    {
        try
        {
            using var process = Process.GetProcessById(processId);
            ProcessorTime = process.TotalProcessorTime;
            return true;
        }
        catch (Exception exception) when (exception is ArgumentException or InvalidOperationException or System.ComponentModel.Win32Exception)
        {
            return false;
        }
    }
}
