using System.Runtime.InteropServices;
using System.Runtime.Versioning;
using Microsoft.Win32.SafeHandles;

namespace Distributed.Collectives.Launching;

/// <summary>The few system calls with which a worker ties its life to the launcher's.</summary>
internal static partial class NativeProcess
{
    private const int SetParentDeathSignal = 1; // PR_SET_PDEATHSIG
    private const int KillSignal = 9;
    private const short PollError = 0x0008;
    private const short PollHangUp = 0x0010;

    /// <summary>Ends this process at once: no finalizer, no exit handler, no wait for a thread that is inside a collective.</summary>
    public static void ExitNow(int exitCode)
    {
        if (OperatingSystem.IsWindows())
        {
            TerminateProcess(GetCurrentProcess(), (uint)exitCode);
        }
        else
        {
            ExitUnix(exitCode);
        }
    }

    /// <summary>Has the kernel kill this process, running or stopped, when the thread that started it ends.</summary>
    [SupportedOSPlatform("linux")]
    public static void DieWithParentThread() => _ = Prctl(SetParentDeathSignal, KillSignal, 0, 0, 0);

    /// <summary>The process that started this one, or the one that inherited it.</summary>
    [UnsupportedOSPlatform("windows")]
    public static int ParentId() => GetParentId();

    /// <summary>
    /// Moves stdin to a descriptor that programs started from here do not inherit, and leaves the null device in its place.
    /// </summary>
    [UnsupportedOSPlatform("windows")]
    public static SafeFileHandle TakeStandardInput()
    {
        var lifeline = Duplicate(0);
        if (lifeline < 0)
        {
            throw new RankEnvironmentException("stdin is closed although DISTRUN_ENVELOPE=1; start this program with distrun.");
        }

        // fcntl would be the usual way, but takes its last argument in another place on macOS (variadic, Apple's arm64 ABI).
        _ = IoControl(lifeline, OperatingSystem.IsLinux() ? 0x5451u : 0x2000_6601u); // FIOCLEX
        using var nothing = File.OpenHandle("/dev/null");
        _ = DuplicateTo((int)nothing.DangerousGetHandle(), 0);
        return new SafeFileHandle(lifeline, ownsHandle: true);
    }

    /// <summary>Whether no process holds the other end of a pipe any more, however much of it is still unread.</summary>
    public static unsafe bool IsHungUp(SafeFileHandle pipe)
    {
        var query = new PollQuery { Descriptor = (int)pipe.DangerousGetHandle() };
        return Poll(&query, 1, 0) > 0 && (query.Returned & (PollHangUp | PollError)) != 0;
    }

    private struct PollQuery
    {
        public int Descriptor;
        public short Requested;
        public short Returned;
    }

    [LibraryImport("libc", EntryPoint = "_exit")]
    private static partial void ExitUnix(int status);

    [LibraryImport("libc", EntryPoint = "prctl")]
    private static partial int Prctl(int option, nuint value, nuint unused3, nuint unused4, nuint unused5);

    [LibraryImport("libc", EntryPoint = "getppid")]
    private static partial int GetParentId();

    [LibraryImport("libc", EntryPoint = "dup")]
    private static partial int Duplicate(int descriptor);

    [LibraryImport("libc", EntryPoint = "dup2")]
    private static partial int DuplicateTo(int descriptor, int target);

    [LibraryImport("libc", EntryPoint = "ioctl")]
    private static partial int IoControl(int descriptor, nuint request);

    [LibraryImport("libc", EntryPoint = "poll")]
    private static unsafe partial int Poll(PollQuery* queries, nuint count, int timeoutMilliseconds);

    [LibraryImport("kernel32")]
    private static partial nint GetCurrentProcess();

    [LibraryImport("kernel32")]
    [return: MarshalAs(UnmanagedType.Bool)]
    private static partial bool TerminateProcess(nint process, uint exitCode);
}
