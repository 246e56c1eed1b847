namespace Distributed.Launcher.Processes;

/// <summary>Where a new program's stdin comes from.</summary>
internal enum ChildInput
{
    /// <summary>From where the launcher's comes, as under torchrun.</summary>
    Inherited,

    /// <summary>From a pipe of the launcher's.</summary>
    Pipe,

    /// <summary>It is empty.</summary>
    Empty,
}

/// <summary>A program to start.</summary>
/// <param name="Path">The executable file.</param>
/// <param name="Arguments">[argument], without the program's own name.</param>
/// <param name="Environment">All of its environment.</param>
/// <param name="Input">Where its stdin comes from.</param>
internal sealed record ChildCommand(
    string Path, IReadOnlyList<string> Arguments, IReadOnlyDictionary<string, string> Environment, ChildInput Input)
{
    /// <summary>The CPUs that it may run on; <see langword="null"/> for those of the launcher. Linux only.</summary>
    public IReadOnlyList<int>? Cpus { get; init; }
}

/// <summary>How a process ended: with an exit code, or by a signal.</summary>
/// <param name="ExitCode">Its exit code; 0 where a signal ended it.</param>
/// <param name="Signal">The signal that ended it; 0 where it exited.</param>
internal readonly record struct ChildEnd(int ExitCode, int Signal)
{
    public bool IsSuccess => ExitCode == 0 && Signal == 0;

    /// <summary>The end as a shell says it: 128 + n for signal n.</summary>
    public int ShellCode => Signal > 0 ? Collectives.Launching.ExitCodes.ForSignal(Signal) : ExitCode;

    /// <summary>The end as Python's subprocess, and so torchrun, says it: -n for signal n.</summary>
    public int TorchCode => Signal > 0 ? -Signal : ExitCode;
}

/// <summary>A program could not be started; the message says why in a clause.</summary>
/// <param name="message">Why.</param>
/// <param name="isProgramsFault">Whether another program would have been started.</param>
internal sealed class StartException(string message, bool isProgramsFault) : Exception(message)
{
    public bool IsProgramsFault { get; } = isProgramsFault;
}

/// <summary>
/// A program that the launcher has started, together with everything that it starts in turn and that stays in its process group: they
/// are signalled together, and what is left of them when the program ends is killed.
/// </summary>
/// <remarks>Safe for use from several threads.</remarks>
internal abstract class ChildProcess
{
    /// <summary>Its process id; on POSIX the id of its group too.</summary>
    public abstract int Id { get; }

    /// <summary>The write end of its stdin; <see langword="null"/> unless it was started with <see cref="ChildInput.Pipe"/>.</summary>
    public abstract Stream? Input { get; }

    /// <summary>The read end of its stdout.</summary>
    public abstract Stream Output { get; }

    /// <summary>The read end of its stderr.</summary>
    public abstract Stream Error { get; }

    /// <summary>Starts a program.</summary>
    /// <param name="command">The program.</param>
    /// <param name="guardian">Kills it should the launcher be killed, where there is one.</param>
    /// <exception cref="StartException">It cannot be started.</exception>
    /// <remarks>
    /// To be called from one thread that lives as long as the job: Linux sends a parent-death signal when the thread that started
    /// the process ends.
    /// </remarks>
    public static ChildProcess Start(ChildCommand command, Guardian? guardian)
        => OperatingSystem.IsWindows() ? new WindowsChildProcess(command) : PosixChildProcess.Start(command, guardian);

    /// <summary>Sends a signal to the whole group; nothing happens when the program has been collected.</summary>
    /// <returns>Whether the program had not ended before.</returns>
    public abstract bool Signal(int signal);

    /// <summary>Blocks until the program has ended, and leaves it to be collected.</summary>
    public abstract void WaitForEnd();

    /// <summary>Kills what is left of the group of a program that has ended, then collects it.</summary>
    public abstract ChildEnd Collect();
}
