using System.Runtime.InteropServices;
using Distributed.Collectives.Hosting;

namespace Distributed.Collectives.Transports.SharedMemory;

/// <summary>
/// Parks a thread on a word of memory that another process shares, and wakes it: futex(2) on Linux, os_sync_wait_on_address on
/// macOS 14.4 and later. Elsewhere (WaitOnAddress of Windows works within one process only) a parked thread looks every millisecond.
/// </summary>
internal static unsafe partial class AddressWait
{
    private const int FutexWait = 0;
    private const int FutexWake = 1;
    private const uint SharedBetweenProcesses = 1; // OS_SYNC_WAIT_ON_ADDRESS_SHARED, OS_SYNC_WAKE_BY_ADDRESS_SHARED
    private const uint MachAbsoluteTime = 32;      // OS_CLOCK_MACH_ABSOLUTE_TIME

    private static readonly nint FutexNumber = RuntimeInformation.ProcessArchitecture switch
    {
        Architecture.X64 => 202,
        Architecture.Arm64 => 98,
        _ => 0,
    };

    private static readonly bool HasFutex = Platform.UsesLinux && FutexNumber != 0;
    private static readonly bool HasSyncWait = Platform.UsesMacOS && OperatingSystem.IsMacOSVersionAtLeast(14, 4);

    /// <summary>Returns when the word is no longer <paramref name="value"/>, when it was woken, after the limit, or for no reason.</summary>
    /// <param name="word">The shared word.</param>
    /// <param name="value">What it has to be for the thread to park.</param>
    /// <param name="limit">Above zero.</param>
    public static void Park(uint* word, uint value, TimeSpan limit)
    {
        if (HasFutex)
        {
            var time = stackalloc long[2]; // struct timespec, which is relative for FUTEX_WAIT
            time[0] = (long)limit.TotalSeconds;
            time[1] = limit.Ticks % TimeSpan.TicksPerSecond * TimeSpan.NanosecondsPerTick;
            _ = SystemCall(FutexNumber, word, FutexWait, (nint)value, time, null, 0);
        }
        else if (HasSyncWait)
        {
            _ = WaitOnAddress(word, value, sizeof(uint), SharedBetweenProcesses, MachAbsoluteTime, (ulong)(limit.TotalMilliseconds * 1e6));
        }
        else
        {
            Thread.Sleep(1);
        }
    }

    /// <summary>Wakes the thread that is parked on the word, if there is one.</summary>
    public static void Wake(uint* word)
    {
        if (HasFutex)
        {
            _ = SystemCall(FutexNumber, word, FutexWake, int.MaxValue, null, null, 0);
        }
        else if (HasSyncWait)
        {
            _ = WakeByAddress(word, sizeof(uint), SharedBetweenProcesses);
        }
    }

    // Every argument as wide as a register: syscall(2) takes them so. Without FUTEX_PRIVATE_FLAG, as the word lies in shared memory.
    [LibraryImport("libc", EntryPoint = "syscall")]
    private static partial nint SystemCall(nint number, uint* word, nint operation, nint value, long* time, uint* second, nint third);

    [LibraryImport("libSystem", EntryPoint = "os_sync_wait_on_address_with_timeout")]
    private static partial int WaitOnAddress(uint* word, ulong value, nuint size, uint flags, uint clock, ulong nanoseconds);

    [LibraryImport("libSystem", EntryPoint = "os_sync_wake_by_address_any")]
    private static partial int WakeByAddress(uint* word, nuint size, uint flags);
}
