using System.Diagnostics;
using System.Globalization;

namespace Distributed.Launcher.Hangs;

/// <summary>Whether a process does anything, seen from outside.</summary>
/// <param name="IsStopped">Whether a signal has stopped it (SIGSTOP, SIGTSTP); known on Linux only.</param>
/// <param name="ProcessorTime">What it has used of the processors since it began.</param>
internal readonly record struct ProcessActivity(bool IsStopped, TimeSpan ProcessorTime)
{
    private const int TicksPerSecond = 100; // USER_HZ of Linux

    /// <summary>Looks at a process; <see langword="null"/> where there is none.</summary>
    public static ProcessActivity? Of(int processId)
    {
        if (!OperatingSystem.IsLinux())
        {
            return OfForeignSystem(processId);
        }

        if (StatusFields($"/proc/{processId}/stat") is not { Length: > 12 } fields || fields[0] is "Z" or "X")
        {
            return null;
        }

        var ticks = long.Parse(fields[11], CultureInfo.InvariantCulture) + long.Parse(fields[12], CultureInfo.InvariantCulture);
        return new ProcessActivity(fields[0] == "T", TimeSpan.FromSeconds(ticks / (double)TicksPerSecond));
    }

    /// <summary>Whether one of its threads runs, wants to run, or waits for a disk; known on Linux only.</summary>
    public static bool HasBusyThread(int processId)
    {
        try
        {
            return OperatingSystem.IsLinux()
                && Directory.EnumerateDirectories($"/proc/{processId}/task").Any(thread => StatusFields(thread + "/stat") is ["R" or "D", ..]);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return false; // It has just ended.
        }
    }

    /// <summary>Bytes that it has read and written so far, from files, pipes and disks; 0 where that is not known.</summary>
    public static long TransferredByteCount(int processId)
    {
        try
        {
            return OperatingSystem.IsLinux()
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

    // The fields after the name, which is in brackets and may hold anything: state first, user and system ticks 12th and 13th (proc(5)).
    private static string[]? StatusFields(string path)
    {
        try
        {
            var text = File.ReadAllText(path);
            return text[(text.LastIndexOf(')') + 2)..].Split(' ');
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    private static ProcessActivity? OfForeignSystem(int processId)
    {
        try
        {
            using var process = Process.GetProcessById(processId);
            return new ProcessActivity(IsStopped: false, process.TotalProcessorTime);
        }
        catch (Exception exception) when (exception is ArgumentException or InvalidOperationException or System.ComponentModel.Win32Exception)
        {
            return null;
        }
    }
}
