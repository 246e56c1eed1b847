using System.Runtime.InteropServices;
using System.Runtime.Versioning;
using Microsoft.Win32.SafeHandles;

namespace Distributed.Launcher.Processes;

/// <summary>One thread waits for all children at once, through a kqueue.</summary>
/// <remarks>
/// An exit appends its event to the kqueue's list, and kevent hands the list out from its head (XNU, bsd/kern/kern_event.c: knote_enqueue,
/// kqueue_process: one tail queue), so deaths come in the order in which they happened. The event may come just before the process can be collected, and
/// one that has ended before it is watched is refused with ESRCH (libuv, pull requests 3521 and 3441).
/// </remarks>
[SupportedOSPlatform("macos")]
internal sealed unsafe partial class KqueueDeathWatcher : DeathWatcher
{
    private const int StackByteCount = 256 * 1024;
    private const int MaxEventCount = 64;
    private const short ReadFilter = -1; // EVFILT_READ
    private const short ProcessFilter = -5; // EVFILT_PROC
    private const ushort Add = 0x0001; // EV_ADD
    private const ushort OneShot = 0x0010; // EV_ONESHOT
    private const uint Exit = 0x8000_0000; // NOTE_EXIT
    private const int NoSuchProcess = 3; // ESRCH

    private readonly SafeFileHandle _queue;
    private readonly DescriptorStream _woken;
    private readonly DescriptorStream _wake;
    private readonly Lock _gate = new();
    private readonly Dictionary<int, Watched> _watched = []; // by process id
    private readonly Queue<int> _ended = []; // those that had ended before they were watched
    private readonly Thread _thread;

    public KqueueDeathWatcher()
    {
        var queue = CreateQueue();
        Libc.ThrowIfFailed(queue, "kqueue");
        _queue = new SafeFileHandle(queue, ownsHandle: true); // no child inherits a kqueue
        var (wakeRead, wakeWrite) = Libc.CreatePipe();
        _woken = new DescriptorStream(wakeRead, FileAccess.Read);
        _wake = new DescriptorStream(wakeWrite, FileAccess.Write);
        Libc.ThrowIfFailed(Change(wakeRead.DangerousGetHandle(), ReadFilter, Add, 0), "kevent");
        _thread = new Thread(Wait, StackByteCount) { IsBackground = true, Name = "deaths" };
        _thread.Start();
    }

    public override void Watch(ChildProcess child, Action<ChildEnd, DateTimeOffset> ended)
    {
        lock (_gate)
        {
            _watched[child.Id] = new Watched(child, ended);
        }

        if (Change(child.Id, ProcessFilter, Add | OneShot, Exit) == 0)
        {
            return;
        }

        if (Marshal.GetLastPInvokeError() != NoSuchProcess)
        {
            Libc.ThrowIfFailed(-1, "kevent");
        }

        lock (_gate)
        {
            _ended.Enqueue(child.Id);
        }

        _wake.WriteByte(0);
    }

    public override void Dispose()
    {
        _wake.Dispose(); // The read end comes to its end, and the thread returns.
        _thread.Join();
        _woken.Dispose();
        _queue.Dispose();
    }

    private void Wait()
    {
        var events = stackalloc Event[MaxEventCount];
        while (true)
        {
            var count = KEvent((int)_queue.DangerousGetHandle(), null, 0, events, MaxEventCount, null);
            var time = DateTimeOffset.Now;
            for (var index = 0; index < count; index++)
            {
                if (events[index].Filter == ProcessFilter)
                {
                    End((int)events[index].Identity, time);
                }
                else if (!TryEndEarlyOnes(time))
                {
                    return; // Dispose
                }
            }
        }
    }

    /// <summary>Those that had ended before they were watched; false where nothing more will come.</summary>
    private bool TryEndEarlyOnes(DateTimeOffset time)
    {
        Span<byte> bytes = stackalloc byte[MaxEventCount];
        if (_woken.Read(bytes) == 0)
        {
            return false;
        }

        while (true)
        {
            int id;
            lock (_gate)
            {
                if (!_ended.TryDequeue(out id))
                {
                    return true;
                }
            }

            End(id, time);
        }
    }

    private void End(int id, DateTimeOffset time)
    {
        Watched? watched;
        lock (_gate)
        {
            _watched.Remove(id, out watched);
        }

        watched?.Child.WaitForEnd();
        watched?.Ended(watched.Child.Collect(), time);
    }

    private int Change(nint identity, short filter, ushort flags, uint filterFlags)
    {
        var change = new Event { Identity = (nuint)identity, Filter = filter, Flags = flags, FilterFlags = filterFlags };
        return KEvent((int)_queue.DangerousGetHandle(), &change, 1, null, 0, null);
    }

    private sealed record Watched(ChildProcess Child, Action<ChildEnd, DateTimeOffset> Ended);

    // struct kevent
    [StructLayout(LayoutKind.Sequential)]
    private struct Event
    {
        public nuint Identity;
        public short Filter;
        public ushort Flags;
        public uint FilterFlags;
        public nint Data;
        public nint UserData;
    }

    [LibraryImport("libc", EntryPoint = "kqueue", SetLastError = true)]
    private static partial int CreateQueue();

    [LibraryImport("libc", EntryPoint = "kevent", SetLastError = true)]
    private static partial int KEvent(int queue, Event* changes, int changeCount, Event* events, int eventCount, void* timeout);
}
