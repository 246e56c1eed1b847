using System.Runtime.InteropServices;
using Distributed.Launcher.Processes;

namespace Distributed.Launcher.Reporting;

/// <summary>The name of this machine as it calls itself. No name server is asked, which could take long or say something else.</summary>
internal static class HostName
{
    public static unsafe string Get()
    {
        if (OperatingSystem.IsWindows())
        {
            return Environment.MachineName;
        }

        const int MaxByteCount = 256;
        var name = stackalloc byte[MaxByteCount];
        Libc.ThrowIfFailed(Libc.GetHostName(name, MaxByteCount - 1), "gethostname");
        return Marshal.PtrToStringUTF8((nint)name)!;
    }
}
