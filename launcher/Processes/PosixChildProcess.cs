using System.Runtime.InteropServices;
using System.Runtime.Versioning;
using Distributed.Collectives.Hosting;
using Microsoft.Win32.SafeHandles;

namespace Distributed.Launcher.Processes;

/// <summary>A child on Linux and macOS: the leader of a process group.</summary>
/// <remarks>
/// A group is signalled by its leader's process id, and only while the leader has not been collected: until then, dead or alive, it
/// holds its id, so the id cannot mean a stranger's group. Hence <see cref="Collect"/> kills the rest of the group first.
/// </remarks>
[UnsupportedOSPlatform("windows")]
internal sealed class PosixChildProcess : ChildProcess
{
    private readonly Lock _gate = new();
    private readonly Guardian? _guardian;
    private bool _collected;

    private PosixChildProcess(int id, Guardian? guardian, Stream? input, Stream output, Stream error)
    {
        Id = id;
        _guardian = guardian;
        Input = input;
        Output = output;
        Error = error;
    }

    public override int Id { get; }

    public override Stream? Input { get; }

    public override Stream Output { get; }

    public override Stream Error { get; }

    /// <inheritdoc cref="ChildProcess.Start"/>
    public static new PosixChildProcess Start(ChildCommand command, Guardian? guardian)
    {
        var input = command.Input == ChildInput.Pipe ? Libc.CreatePipe() : default;
        var output = Libc.CreatePipe();
        var error = Libc.CreatePipe();
        using (input.Read)
        using (output.Write)
        using (error.Write)
        {
            using var affinity = Platform.UsesLinux ? CpuAffinity.Of(command.Cpus) : null;
            using var inherited = new SafeFileHandle(0, ownsHandle: false);
            var id = Orphans.Start(() => PosixSpawn.Start(
                command.Path,
                [command.Path, .. command.Arguments],
                Format(command.Environment),
                command.Input == ChildInput.Inherited ? inherited : input.Read,
                output.Write,
                error.Write,
                ownSession: false));
            guardian?.Watch(id);
            return new PosixChildProcess(
                id,
                guardian,
                input.Write is null ? null : new DescriptorStream(input.Write, FileAccess.Write),
                new DescriptorStream(output.Read, FileAccess.Read),
                new DescriptorStream(error.Read, FileAccess.Read));
        }
    }

    public override bool Signal(int signal)
    {
        lock (_gate)
        {
            if (_collected)
            {
                return false;
            }

            var wasRunning = !HasEnded(Libc.WaitNoHang);
            SignalGroup(signal);
            return wasRunning;
        }
    }

    public override void WaitForEnd() => HasEnded(0);

    public override ChildEnd Collect()
    {
        lock (_gate)
        {
            SignalGroup(Signals.Kill);
            _guardian?.Forget(Id);
            int status;
            while (Libc.WaitPid(Id, out status, 0) < 0)
            {
                Libc.ThrowIfFailed(Marshal.GetLastPInvokeError() == Libc.Interrupted ? 0 : -1, "waitpid");
            }

            _collected = true;
            Orphans.Forget(Id);
            return Decode(status);
        }
    }

    private static List<string> Format(IReadOnlyDictionary<string, string> environment)
    {
        var variables = new List<string>(environment.Count);
        foreach (var (name, value) in environment)
        {
            variables.Add($"{name}={value}");
        }

        return variables;
    }

    // The encoding of wait(2) on Linux and macOS: the signal in 7 bits, the exit code above them.
    private static ChildEnd Decode(int status)
        => (status & 0x7f) is var signal and not 0 ? new ChildEnd(0, signal) : new ChildEnd((status >> 8) & 0xff, 0);

    /// <summary>Looks, or without WNOHANG waits, for the end of the program, and leaves it to be collected.</summary>
    private unsafe bool HasEnded(int options)
    {
        // siginfo_t; si_signo, its first member, stays 0 where there is nothing to tell.
        var info = stackalloc int[32];
        new Span<int>(info, 32).Clear();
        while (Libc.WaitId(Libc.IdTypePid, (uint)Id, info, Libc.WaitExited | Libc.WaitNoReap | options) < 0
            && Marshal.GetLastPInvokeError() == Libc.Interrupted)
        {
        }

        return *info != 0;
    }

    private void SignalGroup(int signal)
    {
        // A leader that has moved to another group leaves none behind under its id.
        if (Libc.Kill(-Id, signal) < 0)
        {
            _ = Libc.Kill(Id, signal);
        }
    }
}
