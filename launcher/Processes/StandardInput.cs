namespace Distributed.Launcher.Processes;

/// <summary>The launcher's own stdin.</summary>
internal static class StandardInput
{
    /// <summary>Whether somebody types it.</summary>
    public static bool IsTerminal => OperatingSystem.IsWindows() ? !Console.IsInputRedirected : Libc.IsTerminal(0) == 1;

    /// <summary>Opens it for reading.</summary>
    public static Stream Open() => OperatingSystem.IsWindows() ? Console.OpenStandardInput() : DescriptorStream.Standard(0);
}
