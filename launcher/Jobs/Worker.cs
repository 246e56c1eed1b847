using Distributed.Collectives.Launching;
using Distributed.Launcher.Output;
using Distributed.Launcher.Processes;

namespace Distributed.Launcher.Jobs;

/// <summary>One running program of the job, with what ties it to the launcher.</summary>
internal sealed class Worker : IDisposable
{
    /// <summary>Output that nobody has written for so long, by a rank that is dead, is held open by somebody outside the job.</summary>
    private static readonly TimeSpan OutputSilence = TimeSpan.FromMilliseconds(500);

    private readonly WorkerLink? _link;
    private readonly OutputForwarder _out;
    private readonly OutputForwarder _error;

    /// <summary>Starts it.</summary>
    /// <param name="rank">Its global rank; 0 for the preflight.</param>
    /// <param name="localRank">Its index on this node.</param>
    /// <param name="command">The program.</param>
    /// <param name="guardian">Kills it if the launcher is killed.</param>
    /// <param name="console">The launcher's own streams.</param>
    /// <param name="routes">Where its streams go, given the buffer for the last lines of its stderr.</param>
    /// <param name="envelope">What it is told in private, if it is.</param>
    /// <param name="watch">
    /// Called as soon as its process runs, before anything else is made ready: the order of deaths is known only of processes that are watched.
    /// </param>
    /// <exception cref="StartException">It cannot be started.</exception>
    public Worker(
        int rank,
        int localRank,
        ChildCommand command,
        Guardian? guardian,
        ConsoleOutput console,
        Func<TailBuffer, (StreamRoute Out, StreamRoute Error)> routes,
        JobEnvelope? envelope,
        Action<Worker> watch)
    {
        Rank = rank;
        LocalRank = localRank;
        Process = ChildProcess.Start(command, guardian);
        watch(this);
        _link = envelope is null ? null : new WorkerLink(Process.Input!, envelope);
        var (output, error) = routes(Tail);
        _out = OutputForwarder.Start(Process.Output, console, output);
        _error = OutputForwarder.Start(Process.Error, console, error);
    }

    public int Rank { get; }

    public int LocalRank { get; }

    public ChildProcess Process { get; }

    /// <summary>Whether anything has come from its stdout.</summary>
    public bool HasWritten => _out.HasCarried;

    /// <summary>The last lines of its stderr.</summary>
    public TailBuffer Tail { get; } = new();

    /// <summary>Gives it the user's input to read, or an empty one, where it takes its input from the launcher at all.</summary>
    /// <param name="input">The user's; <see langword="null"/> for an empty one.</param>
    public void ConnectInput(UserInput? input)
    {
        if (input is null)
        {
            _link?.EndUserInput();
        }
        else if (_link is not null)
        {
            input.Connect(_link);
        }
    }

    /// <summary>Waits a moment for what a rank that has ended wrote to stderr last, so that <see cref="Tail"/> has it.</summary>
    public void WaitForLastWords(TimeSpan limit) => _error.TryWaitForEnd(limit);

    /// <summary>Waits until all that it has written is on the console.</summary>
    public void WaitForOutput()
    {
        _out.WaitForEnd(OutputSilence);
        _error.WaitForEnd(OutputSilence);
    }

    public void Dispose() => _link?.Dispose();
}
