using System.Runtime.InteropServices;

namespace Distributed.Engine.Tests.Tokenizers;

/// <summary>
/// What the calling thread has used of a processor, which other programs on the machine do not change; on Windows, where .NET does not tell, the time of the clock.
/// </summary>
internal static unsafe partial class ThreadTime
{
    private const int OfLinux = 3; // CLOCK_THREAD_CPUTIME_ID
    private const int OfMacOS = 16;

    /// <summary>Since some moment in the past.</summary>
    public static TimeSpan Now
    {
        get
        {
            if (OperatingSystem.IsWindows())
            {
                return TimeSpan.FromMilliseconds(Environment.TickCount64);
            }

            var time = stackalloc long[2]; // struct timespec
            Assert.Equal(0, GetTime(OperatingSystem.IsMacOS() ? OfMacOS : OfLinux, time));
            return TimeSpan.FromSeconds(time[0]) + TimeSpan.FromTicks(time[1] / TimeSpan.NanosecondsPerTick);
        }
    }

    [LibraryImport("libc", EntryPoint = "clock_gettime")]
    private static partial int GetTime(int clock, long* time);
}
