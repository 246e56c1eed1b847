using System.Globalization;
using System.Runtime.InteropServices;

namespace Distributed.Tests;

/// <summary>The system calls of the tests.</summary>
internal static partial class Posix
{
    public const int SigKill = 9;
    public const int SigTerm = 15;
    public const int SigStop = 19; // Linux

    public static async Task WaitUntilGone(int processId)
    {
        while (IsAlive(processId))
        {
            await Task.Delay(10);
        }
    }

    /// <summary>Waits until every thread of a process to which SIGSTOP was sent stands still, or it is gone (Linux).</summary>
    public static async Task WaitUntilStopped(int processId)
    {
        while (IsAlive(processId) && Directory.GetDirectories($"/proc/{processId}/task").Any(task => StateAt(task) is not 'T'))
        {
            await Task.Delay(1);
        }
    }

    /// <summary>Whether a process runs or is stopped; one that only waits to be collected is gone.</summary>
    public static bool IsAlive(int processId) => StateAt($"/proc/{processId}") is not ('Z' or 'X');

    // The letter of proc(5); X where there is none.
    private static char StateAt(string folder)
    {
        try
        {
            var state = File.ReadAllText(folder + "/stat");
            return state[state.LastIndexOf(')') + 2];
        }
        catch (Exception exception) when (exception is FileNotFoundException or DirectoryNotFoundException or IOException)
        {
            return 'X';
        }
    }

    /// <summary>The parent of a process that runs (Linux).</summary>
    public static int ParentOf(int processId)
    {
        var state = File.ReadAllText($"/proc/{processId}/stat");
        return int.Parse(state[(state.LastIndexOf(')') + 2)..].Split(' ')[1], CultureInfo.InvariantCulture); // after the name: state, parent
    }

    [LibraryImport("libc", EntryPoint = "kill")]
    public static partial int Kill(int processId, int signal);

    public static int MakeFifo(string path) => MakeFifo(path, 0x180);

    [LibraryImport("libc", EntryPoint = "mkfifo", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int MakeFifo(string path, uint mode);
}

/// <summary>A fact for Linux.</summary>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class LinuxFactAttribute : FactAttribute
{
    public LinuxFactAttribute() => Skip = OperatingSystem.IsLinux() ? null : "Needs Linux.";
}

/// <summary>A theory for Linux.</summary>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class LinuxTheoryAttribute : TheoryAttribute
{
    public LinuxTheoryAttribute() => Skip = OperatingSystem.IsLinux() ? null : "Needs Linux.";
}
