using System.Runtime.Versioning;

namespace Distributed.Collectives.Hosting;

/// <summary>
/// Whether this process uses the calls that only one system has. Without them everything works in its plain form, which is what Windows, and of some calls macOS, has anyway: deaths
/// are awaited by threads, waiting ranks look every millisecond, shared memory is a file, no thread is bound to a processor.
/// </summary>
/// <remarks><c>distrun --plain-platform</c>, or <c>DISTRUN_PLAIN_PLATFORM=1</c>, forces the plain form, so that tests on Linux run what other systems run.</remarks>
public static class Platform
{
    /// <summary>The variable; ranks inherit it from the launcher.</summary>
    public const string PlainVariable = "DISTRUN_PLAIN_PLATFORM";

    private static bool _isPlain = Environment.GetEnvironmentVariable(PlainVariable) == "1";

    /// <summary>Whether Linux's own calls are used: futex, pidfd, prctl, memfd, affinity, madvise, and what /proc tells of others.</summary>
    [SupportedOSPlatformGuard("linux")]
    public static bool UsesLinux => OperatingSystem.IsLinux() && !_isPlain;

    /// <summary>Whether macOS's own calls are used: kqueue, os_sync_wait_on_address.</summary>
    [SupportedOSPlatformGuard("macos")]
    public static bool UsesMacOS => OperatingSystem.IsMacOS() && !_isPlain;

    /// <summary>Uses the plain forms from now on, here and in the processes that this one starts; to be called before anything else.</summary>
    public static void UsePlain()
    {
        _isPlain = true;
        Environment.SetEnvironmentVariable(PlainVariable, "1");
    }
}
