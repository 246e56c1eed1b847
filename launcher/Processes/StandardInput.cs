namespace Distributed.Launcher.Processes;

/// <summary>The launcher's own stdin.</summary>
internal static class StandardInput
{
    /// <summary>Whether somebody types it.</summary>
    public static bool IsTerminal => OperatingSystem.IsWindows() ? !Console.IsInputRedirected : Libc.IsTerminal(0) == 1;

    /// <summary>Whether the launcher runs in a terminal at all, whatever its stdin is.</summary>
    public static bool HasTerminal
    {
        get
        {
            try
            {
                using var terminal = OperatingSystem.IsWindows() ? null : File.OpenHandle("/dev/tty");
                return terminal is not null;
            }
            catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
            {
                return false;
            }
        }
    }

    /// <summary>Opens it for reading.</summary>
    public static Stream Open() => OperatingSystem.IsWindows() ? Console.OpenStandardInput() : DescriptorStream.Standard(0);
}
