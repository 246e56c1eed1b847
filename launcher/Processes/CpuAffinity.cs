using System.Runtime.InteropServices;
using System.Runtime.Versioning;

namespace Distributed.Launcher.Processes;

/// <summary>Binds this thread to some CPUs for a while: what it starts meanwhile stays bound.</summary>
[SupportedOSPlatform("linux")]
internal sealed unsafe partial class CpuAffinity : IDisposable
{
    private const int MaskByteCount = 1024; // 8192 CPUs, the most that Linux is built for

    private readonly byte[] _before = new byte[MaskByteCount];

    private CpuAffinity(IReadOnlyList<int> cpus)
    {
        var mask = new byte[MaskByteCount];
        foreach (var cpu in cpus)
        {
            mask[cpu / 8] |= (byte)(1 << (cpu % 8));
        }

        fixed (byte* before = _before)
        fixed (byte* now = mask)
        {
            // Both calls mean the calling thread by 0.
            Libc.ThrowIfFailed(GetAffinity(0, MaskByteCount, before), "sched_getaffinity");
            Libc.ThrowIfFailed(SetAffinity(0, MaskByteCount, now), "sched_setaffinity");
        }
    }

    /// <summary>Binds this thread, where CPUs are given.</summary>
    public static CpuAffinity? Of(IReadOnlyList<int>? cpus) => cpus is null ? null : new CpuAffinity(cpus);

    public void Dispose()
    {
        fixed (byte* before = _before)
        {
            _ = SetAffinity(0, MaskByteCount, before);
        }
    }

    [LibraryImport("libc", EntryPoint = "sched_getaffinity", SetLastError = true)]
    private static partial int GetAffinity(int thread, nuint byteCount, byte* mask);

    [LibraryImport("libc", EntryPoint = "sched_setaffinity", SetLastError = true)]
    private static partial int SetAffinity(int thread, nuint byteCount, byte* mask);
}
