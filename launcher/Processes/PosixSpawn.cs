using System.Runtime.InteropServices;
using System.Runtime.Versioning;
using Microsoft.Win32.SafeHandles;

namespace Distributed.Launcher.Processes;

/// <summary>posix_spawn(3): starts a program in a group or session of its own, with clean signals and three descriptors.</summary>
/// <remarks>
/// System.Diagnostics.Process offers neither groups nor a choice of the thread that collects its children: it installs a SIGCHLD handler
/// that collects them itself.
/// </remarks>
[UnsupportedOSPlatform("windows")]
internal static unsafe class PosixSpawn
{
    private const int NewGroup = 0x02; // POSIX_SPAWN_SETPGROUP
    private const int DefaultSignals = 0x04; // POSIX_SPAWN_SETSIGDEF
    private const int SignalMask = 0x08; // POSIX_SPAWN_SETSIGMASK

    // The types behind these are opaque: 80 and 336 bytes in glibc and musl, a pointer each on macOS.
    private const int ActionsByteCount = 256;
    private const int AttributesByteCount = 512;

    private static readonly int NewSession = OperatingSystem.IsMacOS() ? 0x0400 : 0x80; // POSIX_SPAWN_SETSID

    // macOS has no pipe2, so this closes what might have slipped through between making a pipe and marking it.
    private static readonly int CloseByDefault = OperatingSystem.IsMacOS() ? 0x4000 : 0; // POSIX_SPAWN_CLOEXEC_DEFAULT

    /// <summary>
    /// Starts <paramref name="path"/> and returns its process id, once the new program has replaced the launcher's image.
    /// </summary>
    /// <param name="path">The executable file.</param>
    /// <param name="arguments">[argument], the program's name first.</param>
    /// <param name="environment">[variable], NAME=value.</param>
    /// <param name="input">Its stdin; <see langword="null"/> for the null device.</param>
    /// <param name="output">Its stdout; <see langword="null"/> for the null device.</param>
    /// <param name="error">Its stderr; <see langword="null"/> for the null device.</param>
    /// <param name="ownSession">Whether it leads a session of its own, rather than a group in this one.</param>
    /// <exception cref="StartException">It cannot be started.</exception>
    public static int Start(
        string path,
        IReadOnlyList<string> arguments,
        IReadOnlyList<string> environment,
        SafeFileHandle? input,
        SafeFileHandle? output,
        SafeFileHandle? error,
        bool ownSession)
    {
        var actions = stackalloc byte[ActionsByteCount];
        var attributes = stackalloc byte[AttributesByteCount];
        var signals = stackalloc ulong[Libc.SignalSetByteCount / sizeof(ulong)]; // zeroed
        using var argumentBlock = new StringBlock(arguments);
        using var environmentBlock = new StringBlock(environment);
        Libc.InitActions(actions);
        Libc.InitAttributes(attributes);
        try
        {
            Connect(actions, input, 0);
            Connect(actions, output, 1);
            Connect(actions, error, 2);
            Libc.SetFlags(attributes, (short)((ownSession ? NewSession : NewGroup) | DefaultSignals | SignalMask | CloseByDefault));
            Libc.SetGroup(attributes, 0);
            Libc.SetSignalMask(attributes, signals);
            *signals = Signals.Defaults();
            Libc.SetDefaultSignals(attributes, signals);

            var failure = Libc.Spawn(out var id, path, actions, attributes, argumentBlock.Pointers, environmentBlock.Pointers);
            return failure == 0 ? id : throw Explain(failure);
        }
        finally
        {
            Libc.DestroyActions(actions);
            Libc.DestroyAttributes(attributes);
        }
    }

    private static void Connect(byte* actions, SafeFileHandle? descriptor, int target)
    {
        // O_RDONLY, O_WRONLY. A descriptor onto itself is how CLOEXEC_DEFAULT of macOS is told to keep it.
        var failure = descriptor is null
            ? Libc.AddOpen(actions, target, "/dev/null", flags: target == 0 ? 0 : 1, mode: 0)
            : Libc.AddDuplicate(actions, (int)descriptor.DangerousGetHandle(), target);
        if (failure != 0)
        {
            throw Explain(failure);
        }
    }

    private static StartException Explain(int failure) => failure switch
    {
        2 => new("it, or the interpreter that its first line names, does not exist", isProgramsFault: true), // ENOENT
        7 => new("its arguments and environment together are too long for this system", isProgramsFault: true), // E2BIG
        8 => new("it is neither a program of this system nor a script that begins with #! and its interpreter", isProgramsFault: true), // ENOEXEC
        13 => new("it may not be executed", isProgramsFault: true), // EACCES
        _ => new(Marshal.GetPInvokeErrorMessage(failure), isProgramsFault: false),
    };

    /// <summary>A null-terminated array of C strings.</summary>
    private sealed class StringBlock : IDisposable
    {
        private readonly int _count;

        public StringBlock(IReadOnlyList<string> strings)
        {
            _count = strings.Count;
            Pointers = (byte**)NativeMemory.AllocZeroed((nuint)(_count + 1), (nuint)sizeof(byte*));
            for (var index = 0; index < _count; index++)
            {
                Pointers[index] = (byte*)Marshal.StringToCoTaskMemUTF8(strings[index]);
            }
        }

        public byte** Pointers { get; }

        public void Dispose()
        {
            for (var index = 0; index < _count; index++)
            {
                Marshal.FreeCoTaskMem((nint)Pointers[index]);
            }

            NativeMemory.Free(Pointers);
        }
    }
}
