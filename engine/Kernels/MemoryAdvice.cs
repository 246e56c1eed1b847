using System.Runtime.InteropServices;
using Distributed.Collectives.Hosting;

namespace Distributed.Engine.Kernels;

/// <summary>What the system may know about memory. Only Linux is told; elsewhere, and where it refuses, all works as well but slower or larger.</summary>
internal static unsafe partial class MemoryAdvice
{
    private const int DontNeed = 4; // MADV_DONTNEED
    private const int HugePages = 14; // MADV_HUGEPAGE

    /// <summary>Asks for pages of 2 MiB, of which a large matrix that is read from end to end needs fewer than of 4 KiB ones.</summary>
    public static void UseLargePages(void* data, long byteCount) => Advise(data, byteCount, HugePages);

    /// <summary>Gives back the pages of a mapped file, which must not have been written to: memory of any other kind would lose what it holds.</summary>
    public static void DropPages(void* data, long byteCount) => Advise(data, byteCount, DontNeed);

    // Whole pages within the range.
    private static void Advise(void* data, long byteCount, int advice)
    {
        if (!Platform.UsesLinux)
        {
            return;
        }

        long page = Environment.SystemPageSize;
        var start = ((long)data + page - 1) / page * page;
        var end = ((long)data + byteCount) / page * page;
        if (start < end)
        {
            _ = Madvise((void*)start, (nuint)(end - start), advice);
        }
    }

    [LibraryImport("libc", EntryPoint = "madvise")]
    private static partial int Madvise(void* address, nuint length, int advice);
}
