using System.Numerics;
using System.Runtime.InteropServices;

namespace Distributed.Collectives.Hosting;

/// <summary>
/// Binds threads to processors, where the system can: a woken thread is otherwise often put on the processor of the thread that woke it, behind
/// which it waits. Linux only; macOS has no such call, and elsewhere the system's choice stands.
/// </summary>
public static unsafe partial class ProcessorBinding
{
    private const int MaskLength = 16; // 1024 processors, as many as glibc's cpu_set_t holds
    private const int ProcessorsOnline = 84; // _SC_NPROCESSORS_ONLN of Linux, in glibc and in musl

    /// <summary>The number of processors that the calling thread may use; 0 where the system does not bind.</summary>
    public static int AllowedCount()
    {
        var allowed = stackalloc ulong[MaskLength];
        if (!TryGetAllowed(allowed))
        {
            return 0;
        }

        var count = 0;
        for (var word = 0; word < MaskLength; word++)
        {
            count += BitOperations.PopCount(allowed[word]);
        }

        return count;
    }

    /// <summary>The number of processors that the machine has; 0 where the system does not bind.</summary>
    public static int OnlineCount() => Platform.UsesLinux ? (int)Configuration(ProcessorsOnline) : 0;

    /// <summary>Binds the calling thread to one of the processors that it may use now.</summary>
    /// <param name="index">Which of them, in ascending order.</param>
    /// <returns>False where the thread may not use so many, or the system does not bind; the thread runs on unbound.</returns>
    public static bool TryBind(int index)
    {
        var allowed = stackalloc ulong[MaskLength];
        var wanted = stackalloc ulong[MaskLength];
        new Span<ulong>(wanted, MaskLength).Clear();
        if (!TryGetAllowed(allowed))
        {
            return false;
        }

        for (var word = 0; word < MaskLength; word++)
        {
            for (var bits = allowed[word]; bits != 0; bits &= bits - 1, index--)
            {
                if (index == 0)
                {
                    wanted[word] = 1ul << BitOperations.TrailingZeroCount(bits);
                    return SetAffinity(0, MaskLength * sizeof(ulong), wanted) == 0;
                }
            }
        }

        return false;
    }

    private static bool TryGetAllowed(ulong* mask)
    {
        new Span<ulong>(mask, MaskLength).Clear();
        return Platform.UsesLinux && GetAffinity(0, MaskLength * sizeof(ulong), mask) >= 0;
    }

    [LibraryImport("libc", EntryPoint = "sysconf")]
    private static partial nint Configuration(int name);

    [LibraryImport("libc", EntryPoint = "sched_getaffinity")]
    private static partial int GetAffinity(int threadId, nint byteCount, ulong* mask);

    [LibraryImport("libc", EntryPoint = "sched_setaffinity")]
    private static partial int SetAffinity(int threadId, nint byteCount, ulong* mask);
}
