using System.Runtime.InteropServices;
using System.Runtime.Versioning;
using Microsoft.Win32.SafeHandles;

namespace Distributed.Launcher.Processes;

/// <summary>One thread waits for all children at once, through an epoll of their pidfds.</summary>
/// <remarks>
/// The kernel appends a pidfd to epoll's ready list in the moment in which the process becomes a zombie, and epoll_wait hands the list out
/// from its head (fs/eventpoll.c: ep_poll_callback, ep_send_events): deaths come in the order in which they happened, also those of one
/// wake-up.
/// </remarks>
[SupportedOSPlatform("linux")]
internal sealed unsafe partial class PidfdDeathWatcher : DeathWatcher
{
    private const int StackByteCount = 256 * 1024;
    private const long OpenPidfd = 434; // SYS_pidfd_open, on every architecture
    private const int CloseOnExec = 0x80000; // EPOLL_CLOEXEC
    private const int Add = 1; // EPOLL_CTL_ADD
    private const int Delete = 2; // EPOLL_CTL_DEL
    private const uint Readable = 1; // EPOLLIN
    private const int MaxEventCount = 64;

    private readonly SafeFileHandle _epoll;
    private readonly SafeFileHandle _stopRead;
    private readonly SafeFileHandle _stopWrite;
    private readonly Lock _gate = new();
    private readonly Dictionary<int, Watched> _watched = []; // by descriptor
    private readonly Thread _thread;

    private PidfdDeathWatcher(SafeFileHandle epoll)
    {
        _epoll = epoll;
        (_stopRead, _stopWrite) = Libc.CreatePipe();
        Control(Add, (int)_stopRead.DangerousGetHandle());
        _thread = new Thread(Wait, StackByteCount) { IsBackground = true, Name = "deaths" };
        _thread.Start();
    }

    /// <summary>The watcher, or <see langword="null"/> where the kernel (before 5.3, or a sandbox in its place) has no pidfds.</summary>
    public static PidfdDeathWatcher? TryCreate()
    {
        var probe = SystemCall(OpenPidfd, Environment.ProcessId, 0);
        if (probe < 0)
        {
            return null;
        }

        new SafeFileHandle((nint)probe, ownsHandle: true).Dispose();
        var epoll = CreateEpoll(CloseOnExec);
        Libc.ThrowIfFailed(epoll, "epoll_create1");
        return new PidfdDeathWatcher(new SafeFileHandle(epoll, ownsHandle: true));
    }

    public override void Watch(ChildProcess child, Action<ChildEnd, DateTimeOffset> ended)
    {
        // The child has not been collected, so the id is its own, even if it has died by now: then the pidfd is ready at once.
        var descriptor = (int)SystemCall(OpenPidfd, child.Id, 0);
        Libc.ThrowIfFailed(descriptor, "pidfd_open");
        lock (_gate)
        {
            _watched[descriptor] = new Watched(child, ended, new SafeFileHandle(descriptor, ownsHandle: true));
        }

        Control(Add, descriptor);
    }

    public override void Dispose()
    {
        _stopWrite.Dispose(); // The read end becomes ready, and the thread returns.
        _thread.Join();
        _stopRead.Dispose();
        _epoll.Dispose();
        foreach (var watched in _watched.Values)
        {
            watched.Descriptor.Dispose();
        }
    }

    private void Wait()
    {
        // struct epoll_event is { uint32 events; uint64 data }, packed on x86-64 alone.
        var packed = RuntimeInformation.ProcessArchitecture == Architecture.X64;
        var size = packed ? 12 : 16;
        var events = stackalloc byte[MaxEventCount * size];
        while (true)
        {
            var count = WaitEpoll((int)_epoll.DangerousGetHandle(), events, MaxEventCount, -1);
            var time = DateTimeOffset.Now;
            for (var index = 0; index < count; index++)
            {
                var descriptor = *(int*)(events + (index * size) + (packed ? 4 : 8));
                if (Remove(descriptor) is not { } watched)
                {
                    return; // The pipe of Dispose.
                }

                Control(Delete, descriptor);
                watched.Descriptor.Dispose();
                watched.Ended(watched.Child.Collect(), time);
            }
        }
    }

    private Watched? Remove(int descriptor)
    {
        lock (_gate)
        {
            return _watched.Remove(descriptor, out var watched) ? watched : null;
        }
    }

    private void Control(int operation, int descriptor)
    {
        var change = stackalloc byte[16];
        *(uint*)change = Readable;
        *(int*)(change + (RuntimeInformation.ProcessArchitecture == Architecture.X64 ? 4 : 8)) = descriptor;
        Libc.ThrowIfFailed(ControlEpoll((int)_epoll.DangerousGetHandle(), operation, descriptor, change), "epoll_ctl");
    }

    private sealed record Watched(ChildProcess Child, Action<ChildEnd, DateTimeOffset> Ended, SafeFileHandle Descriptor);

    [LibraryImport("libc", EntryPoint = "syscall", SetLastError = true)]
    private static partial long SystemCall(long number, long argument, long flags);

    [LibraryImport("libc", EntryPoint = "epoll_create1", SetLastError = true)]
    private static partial int CreateEpoll(int flags);

    [LibraryImport("libc", EntryPoint = "epoll_ctl", SetLastError = true)]
    private static partial int ControlEpoll(int epoll, int operation, int descriptor, void* change);

    [LibraryImport("libc", EntryPoint = "epoll_wait", SetLastError = true)]
    private static partial int WaitEpoll(int epoll, void* events, int maxEventCount, int timeoutMilliseconds);
}
