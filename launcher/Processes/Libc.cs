using System.Runtime.InteropServices;
using System.Runtime.Versioning;
using Microsoft.Win32.SafeHandles;

namespace Distributed.Launcher.Processes;

/// <summary>The system calls of the launcher on Linux and macOS. Constants that differ between the two are chosen here.</summary>
[UnsupportedOSPlatform("windows")]
internal static unsafe partial class Libc
{
    public const int Interrupted = 4; // EINTR
    public const int BrokenPipe = 32; // EPIPE

    public const int WaitNoHang = 1; // WNOHANG
    public const int WaitExited = 4; // WEXITED
    public const int IdTypePid = 1; // P_PID
    public const int SignalSetByteCount = 128; // sigset_t of Linux; macOS has 4

    private const int OpenCloseOnExec = 0x80000; // O_CLOEXEC, Linux

    public static readonly int TryAgain = OperatingSystem.IsMacOS() ? 35 : 11; // EAGAIN
    public static readonly int WaitNoReap = OperatingSystem.IsMacOS() ? 0x20 : 0x0100_0000; // WNOWAIT
    private static readonly nuint CloseOnExecRequest = OperatingSystem.IsMacOS() ? 0x2000_6601u : 0x5451u; // FIOCLEX

    /// <summary>A pipe whose ends no program that is started from here inherits, unless it is given one.</summary>
    public static (SafeFileHandle Read, SafeFileHandle Write) CreatePipe()
    {
        var ends = stackalloc int[2];
        if (OperatingSystem.IsMacOS())
        {
            // macOS has no pipe2; pipes are made on the thread that starts programs, so none is started in between.
            ThrowIfFailed(Pipe(ends), "pipe");
            ThrowIfFailed(IoControl(ends[0], CloseOnExecRequest), "ioctl");
            ThrowIfFailed(IoControl(ends[1], CloseOnExecRequest), "ioctl");
        }
        else
        {
            ThrowIfFailed(Pipe2(ends, OpenCloseOnExec), "pipe2");
        }

        return (new SafeFileHandle(ends[0], ownsHandle: true), new SafeFileHandle(ends[1], ownsHandle: true));
    }

    /// <summary>
    /// Keeps what the launcher itself has inherited, beyond the three standard streams, from the programs that it starts: whoever waits for
    /// the end of a pipe must not wait for a rank too.
    /// </summary>
    public static void KeepInheritedDescriptors()
    {
        if (OperatingSystem.IsLinux()) // posix_spawn of macOS closes them by itself.
        {
            foreach (var path in Directory.GetFiles("/proc/self/fd"))
            {
                if (int.Parse(Path.GetFileName(path), System.Globalization.CultureInfo.InvariantCulture) is > 2 and var descriptor)
                {
                    _ = IoControl(descriptor, CloseOnExecRequest); // Fails for the one that listed the folder, and is closed by now.
                }
            }
        }
    }

    public static IOException Error(string call, int error) => new($"{call}: {Marshal.GetPInvokeErrorMessage(error)}", error);

    public static void ThrowIfFailed(int result, string call)
    {
        if (result < 0)
        {
            throw Error(call, Marshal.GetLastPInvokeError());
        }
    }

    [LibraryImport("libc", EntryPoint = "kill", SetLastError = true)]
    public static partial int Kill(int processId, int signal);

    [LibraryImport("libc", EntryPoint = "waitpid", SetLastError = true)]
    public static partial int WaitPid(int processId, out int status, int options);

    [LibraryImport("libc", EntryPoint = "waitid", SetLastError = true)]
    public static partial int WaitId(int idType, uint id, void* info, int options);

    [LibraryImport("libc", EntryPoint = "signal", SetLastError = true)]
    public static partial nint SetSignalAction(int signal, nint action);

    [LibraryImport("libc", EntryPoint = "read", SetLastError = true)]
    public static partial nint Read(SafeFileHandle descriptor, byte* buffer, nint count);

    [LibraryImport("libc", EntryPoint = "write", SetLastError = true)]
    public static partial nint Write(SafeFileHandle descriptor, byte* buffer, nint count);

    [LibraryImport("libc", EntryPoint = "poll", SetLastError = true)]
    public static partial int Poll(PollQuery* queries, nuint count, int timeoutMilliseconds);

    [LibraryImport("libc", EntryPoint = "isatty")]
    public static partial int IsTerminal(int descriptor);

    [LibraryImport("libc", EntryPoint = "ttyname_r")]
    public static partial int TerminalName(int descriptor, byte* name, nuint length);

    [LibraryImport("libc", EntryPoint = "gethostname", SetLastError = true)]
    public static partial int GetHostName(byte* name, nuint length);

    [LibraryImport("libc", EntryPoint = "geteuid")]
    public static partial uint GetUserId();

    [LibraryImport("libc", EntryPoint = "posix_spawn", StringMarshalling = StringMarshalling.Utf8)]
    public static partial int Spawn(out int processId, string path, void* actions, void* attributes, byte** arguments, byte** environment);

    // Those that return nothing here fail only for arguments that are not passed.
    [LibraryImport("libc", EntryPoint = "posix_spawn_file_actions_init")]
    public static partial void InitActions(void* actions);

    [LibraryImport("libc", EntryPoint = "posix_spawn_file_actions_adddup2")]
    public static partial int AddDuplicate(void* actions, int descriptor, int target);

    [LibraryImport("libc", EntryPoint = "posix_spawn_file_actions_addopen", StringMarshalling = StringMarshalling.Utf8)]
    public static partial int AddOpen(void* actions, int target, string path, int flags, uint mode);

    [LibraryImport("libc", EntryPoint = "posix_spawn_file_actions_destroy")]
    public static partial void DestroyActions(void* actions);

    [LibraryImport("libc", EntryPoint = "posix_spawnattr_init")]
    public static partial void InitAttributes(void* attributes);

    [LibraryImport("libc", EntryPoint = "posix_spawnattr_setflags")]
    public static partial void SetFlags(void* attributes, short flags);

    [LibraryImport("libc", EntryPoint = "posix_spawnattr_setpgroup")]
    public static partial void SetGroup(void* attributes, int group);

    [LibraryImport("libc", EntryPoint = "posix_spawnattr_setsigdefault")]
    public static partial void SetDefaultSignals(void* attributes, void* signals);

    [LibraryImport("libc", EntryPoint = "posix_spawnattr_setsigmask")]
    public static partial void SetSignalMask(void* attributes, void* signals);

    [LibraryImport("libc", EntryPoint = "posix_spawnattr_destroy")]
    public static partial void DestroyAttributes(void* attributes);

    [LibraryImport("libc", EntryPoint = "pipe", SetLastError = true)]
    private static partial int Pipe(int* ends);

    [LibraryImport("libc", EntryPoint = "pipe2", SetLastError = true)]
    private static partial int Pipe2(int* ends, int flags);

    [LibraryImport("libc", EntryPoint = "ioctl", SetLastError = true)]
    private static partial int IoControl(int descriptor, nuint request);

    public struct PollQuery
    {
        public int Descriptor;
        public short Requested;
        public short Returned;
    }
}
