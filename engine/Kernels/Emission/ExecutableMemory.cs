using System.Runtime.InteropServices;
using Distributed.Collectives.Hosting;

namespace Distributed.Engine.Kernels.Emission;

/// <summary>
/// Memory for machine code: written first and made executable then, and never both at once (W^X). Linux and Windows; a system may refuse, as SELinux does to programs without <c>execmem</c>.
/// </summary>
internal static unsafe partial class ExecutableMemory
{
    private const int ProtectRead = 1;
    private const int ProtectWrite = 2;
    private const int ProtectExecute = 4;
    private const int MapPrivateAnonymous = 0x22;
    private const uint CommitReserve = 0x3000;
    private const uint PageReadWrite = 0x04;
    private const uint PageExecuteRead = 0x20;
    private const uint Release = 0x8000;

    /// <summary>Copies code into pages of its own, which stay until the process ends.</summary>
    /// <returns>The first byte; zero where the system has no such memory or refuses it.</returns>
    public static nint Place(ReadOnlySpan<byte> code)
        => Platform.UsesLinux ? PlaceOnLinux(code) : OperatingSystem.IsWindows() ? PlaceOnWindows(code) : 0;

    private static nint PlaceOnLinux(ReadOnlySpan<byte> code)
    {
        var memory = Map(0, (nuint)code.Length, ProtectRead | ProtectWrite, MapPrivateAnonymous, -1, 0);
        if (memory == -1)
        {
            return 0;
        }

        code.CopyTo(new Span<byte>((void*)memory, code.Length));
        if (Protect(memory, (nuint)code.Length, ProtectRead | ProtectExecute) == 0)
        {
            return memory;
        }

        _ = Unmap(memory, (nuint)code.Length);
        return 0;
    }

    private static nint PlaceOnWindows(ReadOnlySpan<byte> code)
    {
        var memory = VirtualAlloc(0, (nuint)code.Length, CommitReserve, PageReadWrite);
        if (memory == 0)
        {
            return 0;
        }

        code.CopyTo(new Span<byte>((void*)memory, code.Length));
        if (VirtualProtect(memory, (nuint)code.Length, PageExecuteRead, out _) != 0)
        {
            return memory;
        }

        _ = VirtualFree(memory, 0, Release);
        return 0;
    }

    [LibraryImport("libc", EntryPoint = "mmap")]
    private static partial nint Map(nint address, nuint length, int protection, int flags, int file, nint offset);

    [LibraryImport("libc", EntryPoint = "mprotect")]
    private static partial int Protect(nint address, nuint length, int protection);

    [LibraryImport("libc", EntryPoint = "munmap")]
    private static partial int Unmap(nint address, nuint length);

    [LibraryImport("kernel32", EntryPoint = "VirtualAlloc")]
    private static partial nint VirtualAlloc(nint address, nuint length, uint type, uint protection);

    [LibraryImport("kernel32", EntryPoint = "VirtualProtect")]
    private static partial int VirtualProtect(nint address, nuint length, uint protection, out uint before);

    [LibraryImport("kernel32", EntryPoint = "VirtualFree")]
    private static partial int VirtualFree(nint address, nuint length, uint type);
}
