using Distributed.Collectives.Launching;
using Distributed.Launcher.Output;
using Distributed.Launcher.Processes;

namespace Distributed.Launcher.Jobs;

/// <summary>One running program of the job, with what ties it to the launcher.</summary>
internal sealed class Worker : IDisposable
{
    /// <summary>Output that nobody has written for so long, by a rank that is dead, is held open by somebody outside the job.</summary>
    private static readonly TimeSpan OutputSilence = TimeSpan.FromMilliseconds(500);

    // For input of the user's that the rank does not take.
    private static readonly TimeSpan RenewLimit = TimeSpan.FromSeconds(1);

    private readonly ConsoleOutput _console;
    private readonly Func<TailBuffer, (StreamRoute Out, StreamRoute Error)> _routes;
    private readonly JobEnvelope? _envelope;
    private WorkerLink? _link;
    private OutputForwarder? _out;
    private OutputForwarder? _error;

    /// <summary>Starts it; <see cref="Attach"/> does the rest.</summary>
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
        _console = console;
        _routes = routes;
        _envelope = envelope;
        Process = ChildProcess.Start(command, guardian);
        watch(this);
    }

    public int Rank { get; }

    public int LocalRank { get; }

    public ChildProcess Process { get; }

    /// <summary>Whether anything has come from its stdout.</summary>
    public bool HasWritten => _out is { HasCarried: true };

    /// <summary>The last lines of its stderr.</summary>
    public TailBuffer Tail { get; } = new();

    /// <summary>Told of its end, on the agent's thread: whoever supervises it now.</summary>
    public Action<ChildEnd, DateTimeOffset>? Ended { get; set; }

    /// <summary>Whether its end is known.</summary>
    public bool HasEnded { get; private set; }

    /// <summary>The user's input, where it reads that; else it finds an empty one, where it takes its input from the launcher at all.</summary>
    public UserInput? Input { get; init; }

    /// <summary>
    /// Tells it what it is told in private, and carries its streams from now on. Apart from its start, so that no rank's start waits for
    /// what the launcher does for the ones before it: its own start-up is what takes time.
    /// </summary>
    public void Attach()
    {
        if (_out is not null)
        {
            return; // it has outlived an attempt
        }

        var (output, error) = _routes(Tail);
        if (_envelope is not null)
        {
            _link = new WorkerLink(Process.Input!, _envelope);
            if (Input is null)
            {
                _link.EndUserInput();
            }
            else
            {
                Input.Connect(_link);
            }
        }

        _out = OutputForwarder.Start(Process.Output, _console, output);
        _error = OutputForwarder.Start(Process.Error, _console, error);
    }

    /// <summary>It has ended and been collected.</summary>
    public void OnEnded(ChildEnd end, DateTimeOffset time)
    {
        HasEnded = true;
        Ended?.Invoke(end, time);
    }

    /// <summary>Tells it of the attempt that it joins next; where it cannot be told, it is killed.</summary>
    public bool TryRenew(JobEnvelope envelope)
    {
        if (!HasEnded && _link is not null && _link.TrySendEnvelope(envelope, RenewLimit))
        {
            return true;
        }

        Process.Signal(Signals.Kill);
        Dispose();
        return false;
    }

    /// <summary>Waits a moment for what a rank that has ended wrote to stderr last, so that <see cref="Tail"/> has it.</summary>
    public void WaitForLastWords(TimeSpan limit) => _error?.TryWaitForEnd(limit);

    /// <summary>Waits until all that it has written is on the console.</summary>
    public void WaitForOutput()
    {
        _out?.WaitForEnd(OutputSilence);
        _error?.WaitForEnd(OutputSilence);
    }

    public void Dispose() => _link?.Dispose();
}
