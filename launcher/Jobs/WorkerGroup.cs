using System.Diagnostics;
using Distributed.Collectives.Launching;
using Distributed.Launcher.Processes;
using Distributed.Launcher.Reporting;

namespace Distributed.Launcher.Jobs;

/// <summary>The programs of a job that run at the same time, and the loop that supervises them.</summary>
/// <param name="mailbox">Brings what happens to the agent's thread, on which everything here is called.</param>
/// <param name="deaths">Notices the ends of the programs.</param>
/// <param name="limits">The limits of a teardown.</param>
/// <param name="logs">Where the programs say why they failed.</param>
internal sealed class WorkerGroup(Mailbox mailbox, DeathWatcher deaths, SupervisorLimits limits, AttemptLogs? logs) : IDisposable
{
    private static readonly TimeSpan LastWords = TimeSpan.FromMilliseconds(50);
    private static readonly TimeSpan LongTeardown = TimeSpan.FromSeconds(2);

    private readonly List<Worker> _workers = []; // by local rank
    private readonly HashSet<Worker> _kept = [];
    private Supervisor? _supervisor;

    public IReadOnlyList<Worker> Workers => _workers;

    private static TimeSpan Now => Stopwatch.GetElapsedTime(0);

    /// <summary>Why not all could be started; <see langword="null"/> where all were.</summary>
    public StartException? StartFailure { get; private set; }

    /// <summary>Called once when the first failure of a rank is settled, while the others are still being ended.</summary>
    public Action<FailureAnalysis>? Failed { get; set; }

    /// <summary>Which of the ranks are left running when another one fails; <see langword="null"/> for none.</summary>
    public Func<IReadOnlyCollection<int>, IReadOnlySet<int>>? Outliving { get; set; }

    /// <summary>The program of a global rank of this node.</summary>
    public Worker this[int rank] => _workers.First(worker => worker.Rank == rank);

    /// <summary>Starts the ranks from local rank 0 on, until all are or one cannot be.</summary>
    /// <param name="start">Starts one, given its local rank and what it has to call as soon as the process runs.</param>
    /// <param name="count">How many.</param>
    public void Start(Func<int, Action<Worker>, Worker> start, int count)
    {
        try
        {
            for (var localRank = 0; localRank < count; localRank++)
            {
                var worker = start(localRank, Watch);
                worker.Ended = (end, time) => OnExit(worker, end, time); // nothing is told before this thread looks into the mailbox
                _workers.Add(worker);
            }
        }
        catch (StartException exception)
        {
            StartFailure = exception;
        }

        foreach (var worker in _workers)
        {
            worker.Attach();
        }
    }

    /// <summary>Returns when all have ended, or cannot be ended.</summary>
    /// <param name="takesLong">Called once if a teardown takes its time, with the ranks that are waited for.</param>
    public Supervisor Supervise(Action<IReadOnlyCollection<int>> takesLong)
    {
        int[] ranks = [.. _workers.Select(worker => worker.Rank)];
        var supervisor = new Supervisor(ranks, limits, (rank, signal) => this[rank].Process.Signal(signal), Outliving);
        _supervisor = supervisor;
        if (StartFailure is not null)
        {
            supervisor.OnStop(Now);
        }

        TimeSpan? tellAt = null;
        while (!supervisor.IsDone)
        {
            var next = supervisor.NextTime is { } time && time < (tellAt ?? TimeSpan.MaxValue) ? time : tellAt ?? supervisor.NextTime;
            mailbox.RunNext(next - Now);
            supervisor.OnTime(Now);
            TellFailure(supervisor);
            tellAt ??= supervisor.IsEnding ? Now + LongTeardown : null;
            if (Now >= tellAt && !supervisor.IsDone)
            {
                tellAt = TimeSpan.MaxValue;
                takesLong([.. supervisor.Alive.Except(supervisor.Spared)]);
            }
        }

        _supervisor = null;
        return supervisor;
    }

    private void TellFailure(Supervisor supervisor)
    {
        if (Failed is { } tell && supervisor.IsFailureSettled && FailureAnalysis.Of(supervisor.Exits, supervisor.Collateral) is { } analysis)
        {
            Failed = null;
            tell(analysis);
        }
    }

    /// <inheritdoc cref="Supervisor.OnLoss"/>
    public void OnLoss(ErrorRecord loss) => _supervisor?.OnLoss(loss, Now);

    /// <summary>The launcher got a signal that asks it to end.</summary>
    public void OnSignal(int signal) => _supervisor?.OnSignal(signal, Now);

    /// <summary>A signal that is meant for the ranks.</summary>
    public void Forward(int signal)
    {
        foreach (var rank in _supervisor?.Alive ?? [])
        {
            this[rank].Process.Signal(signal);
        }
    }

    /// <summary>The ranks are to end for a reason that is none of them and no signal.</summary>
    public void Stop() => _supervisor?.OnStop(Now);

    /// <summary>Lets a rank that runs go on when the group is disposed.</summary>
    public Worker Keep(int rank)
    {
        var worker = this[rank];
        _kept.Add(worker);
        return worker;
    }

    public void Dispose()
    {
        foreach (var worker in _workers.Except(_kept))
        {
            worker.Dispose();
        }
    }

    private void Watch(Worker worker)
        => deaths.Watch(worker.Process, (end, time) => mailbox.Post(() => worker.OnEnded(end, time)));

    private void OnExit(Worker worker, ChildEnd end, DateTimeOffset time)
    {
        string? problem = null;
        var error = !end.IsSuccess && logs?.ErrorFileOf(worker.LocalRank) is { } path ? ErrorFile.TryRead(path, out problem) : null;
        var exit = new RankExit(worker.Rank, worker.Process.Id, end, time, error, problem)
        {
            LocalRank = worker.LocalRank,
            LostPeer = LostPeer(worker, end, error),
        };
        _supervisor?.OnExit(exit, Now); // One that was left behind may end while a later attempt runs.
    }

    /// <summary>What a rank that chose its end (an exit code, or abort) says of a peer that it lost.</summary>
    private static string? LostPeer(Worker worker, ChildEnd end, ErrorRecord? error)
    {
        if (end.IsSuccess || (end.Signal != 0 && end.Signal != Signals.Abort))
        {
            return null;
        }

        worker.WaitForLastWords(LastWords);
        return PeerLoss.Find(error is null ? worker.Tail.Lines() : [error.Message]);
    }
}
