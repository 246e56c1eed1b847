using System.Runtime.InteropServices;

namespace Distributed.Engine.Torch;

/// <summary>What the backend asks of the system itself.</summary>
internal static partial class TorchNative
{
    /// <summary>setenv(3): 0 where it was set.</summary>
    [LibraryImport("libc", EntryPoint = "setenv", StringMarshalling = StringMarshalling.Utf8)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    public static partial int SetEnvironment(string name, string value, int overwrite);
}
