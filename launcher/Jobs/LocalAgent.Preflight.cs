using Distributed.Collectives.Launching;

namespace Distributed.Launcher.Jobs;

/// <content>What comes before the ranks of the bundled worker.</content>
internal sealed partial class LocalAgent
{
    /// <summary>
    /// Has the bundled worker check its input once before any rank is started, so that a mistake is told once and not by every rank. One
    /// rank alone checks for itself.
    /// </summary>
    /// <param name="worldSize">Ranks of the job.</param>
    /// <returns>The exit code to end with; <see langword="null"/> to go on.</returns>
    private int? Preflight(int worldSize)
    {
        using var group = NewGroup(logs: null);
        group.Start((_, watch) => _starter.StartPreflight(worldSize, watch), count: 1);
        var supervisor = group.Supervise(TellLongTeardown);
        if (group.StartFailure is { } failure)
        {
            return FailToStart(failure);
        }

        group.Workers[0].WaitForOutput();
        if (supervisor.StoppedBySignal is { } signal)
        {
            return ExitCodes.ForSignal(signal);
        }

        var end = supervisor.Exits[0].End;
        if (end.IsSuccess)
        {
            // A check that prints something has done all that was asked for (--help).
            return group.Workers[0].HasWritten ? ExitCodes.Success : null;
        }

        if (end.ExitCode != ExitCodes.BadInput)
        {
            Say($"The worker that checks the input before any rank is started failed (exitcode {end.TorchCode}).");
        }

        return end.ShellCode;
    }
}
