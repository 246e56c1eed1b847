using System.Globalization;
using Distributed.Collectives;
using Distributed.Collectives.Launching;
using Distributed.Launcher.Output;
using Distributed.Launcher.Processes;
using Distributed.Launcher.Rendezvous;
using Distributed.Launcher.Reporting;

namespace Distributed.Launcher.Jobs;

/// <summary>
/// The job as one of several nodes: each attempt is a round of the rendezvous, which gives the ranks their place, and which tells every node
/// of the first failure on any.
/// </summary>
internal sealed partial class LocalAgent
{
    // What the other launchers get to read the last news.
    private static readonly TimeSpan Linger = TimeSpan.FromSeconds(5);

    private CancellationTokenSource? _stopping; // of a wait for other nodes
    private int? _groupRank; // of the last round; null before the first
    private int _checkedWorldSize; // for which the bundled worker has accepted its input

    private int RunNodes()
    {
        TellHowItRuns();
        using var stopping = new CancellationTokenSource();
        _stopping = stopping;
        NodeSession? session = null;
        try
        {
            session = Await(NodeSession.OpenAsync(
                _options.Nodes, SelfAmongNodes(), Environment.GetEnvironmentVariable(JobKey.Variable), Note, stopping.Token));
            var exitCode = RunRounds(session, stopping.Token);
            TellEnd(session, exitCode, session.Rendezvous.FinalEnd?.Cause);
            Await(TakeLeaveAsync(session));
            return exitCode;
        }
        catch (OperationCanceledException) when (_stopSignal is not null)
        {
            var exitCode = ExitCodes.ForSignal(_stopSignal.Value); // JoinAsync has given up the seat
            TellEnd(session, exitCode, $"stopped by {Signals.Name(_stopSignal.Value)} while waiting for other nodes");
            return exitCode;
        }
        catch (RendezvousException exception)
        {
            Say(exception.Message);
            var exitCode = session?.Rendezvous.FinalEnd is { } end ? end.ExitCode
                : exception is RendezvousClosedException or RendezvousRefusedException ? ExitCodes.Failure : ExitCodes.GroupFailed;
            TellEnd(session, exitCode, exception.Message);
            return exitCode;
        }
        finally
        {
            _stopping = null;
            if (session is not null)
            {
                Await(session.DisposeAsync().AsTask());
            }
        }
    }

    private void TellEnd(NodeSession? session, int exitCode, string? error)
        => _events.JobEnded(_groupRank, session?.Rendezvous.RestartCount ?? 0, exitCode, error);

    private NodeSelf SelfAmongNodes() => new()
    {
        Host = _host,
        LocalWorldSize = WorldSize,
        Role = _options.Role,
        RunId = _options.RunId,
        MaxRestarts = _options.Restarts.MaxRestarts,
        NeedsSecret = _options.Program.TakesEnvelope,
        Master = _options.Nodes.Backend == CommandLine.RendezvousBackend.Static ? (_options.MasterAddress, _options.MasterPort) : null,
    };

    private int RunRounds(NodeSession session, CancellationToken stopping)
    {
        var afterRound = -1;
        while (true)
        {
            using var port = MasterPort.Claim(_job.Parent);
            var round = Await(session.JoinAsync(port.Number, afterRound, stopping));
            afterRound = round.Number;
            _groupRank = round.Placement.GroupRank;
            if (round.Placement.GroupRank == 0)
            {
                Note(string.Create(
                    CultureInfo.InvariantCulture,
                    $"round {round.Number}: {round.Placement.WorldSize} ranks on {round.Placement.GroupWorldSize} nodes; MASTER_ADDR={round.Placement.MasterAddress} MASTER_PORT={round.Placement.MasterPort}."));
            }

            if (WhyNotHere(round) is var (problem, exitCode))
            {
                Await(session.Rendezvous.EndRoundAsync(round.Number, EndOf(session, problem, exitCode), CancellationToken.None));
                return exitCode;
            }

            var run = new NodeAttempt(this, session, round);
            if (run.Run() is { } end)
            {
                return end;
            }
        }
    }

    /// <summary>Why the ranks cannot even be started on this node.</summary>
    private (string Problem, int ExitCode)? WhyNotHere(NodeRound round)
    {
        var placement = round.Placement;
        if (round.Number == 0 && placement.GroupRank == 0 && !MasterPort.IsFree(placement.MasterPort))
        {
            Say($"port {placement.MasterPort}, which is to be MASTER_PORT, is in use; name another one on every node.");
            return ($"port {placement.MasterPort}, which is to be MASTER_PORT, is in use on {_host}", ExitCodes.Failure);
        }

        if (!_options.Program.IsBundled || _checkedWorldSize == placement.WorldSize)
        {
            return null;
        }

        _checkedWorldSize = placement.WorldSize;
        return Preflight(placement.WorldSize) is { } exitCode ? ($"the worker on {_host} has checked the input and goes no further", exitCode) : null;
    }

    /// <summary>Runs this node's ranks of one round.</summary>
    private AttemptOutcome RunRound(
        NodeRound round, Action<WorkerGroup> started, Action<FailureAnalysis, TimeSpan, Func<RankExit, RankDetails>> failed)
    {
        var storePath = _options.Program.TakesEnvelope && round.Placement.WorldSize > 1
            ? Path.Combine(_job.Path, string.Create(CultureInfo.InvariantCulture, $"s{round.Number}.sock")) : null;
        var logs = _logs.Begin(round.Number, WorldSize);
        using var output = new AttemptOutput(_options, _console, logs, round.Placement, _host);
        var plan = new AttemptPlan(round.State.RestartCount, round.Placement, logs, output)
        {
            Identity = Task.FromResult(round.Identity),
            StoreAddress = storePath is null ? null : $"unix:{storePath}",
        };
        var group = NewGroup(plan.Logs);
        started(group);
        using var attempt = new Attempt(plan, _starter, group, _mailbox) { Failed = failed };
        if (storePath is not null)
        {
            attempt.StartStore(storePath, round.Store);
        }

        var outcome = RunToItsEnd(attempt, plan, output);
        ListenToSignals();
        return outcome;
    }

    private RestartDecision DecideOnRestart(RankExit cause, TimeSpan uptime, RendezvousState state)
        => state.MaxRestarts > 0 && _options.Restarts.Window == TimeSpan.Zero && state.RestartCount >= state.MaxRestarts
            ? new(null, $"no restart: {state.RestartCount} of {state.MaxRestarts} are used.")
            : _restarts.OnFailure(cause.End.ShellCode, uptime, Now);

    private RoundEnd EndOf(NodeSession session, string cause, int exitCode) => new()
    {
        NodeId = session.Id,
        Host = _host,
        Cause = cause,
        ExitCode = exitCode,
        IsFinal = true,
    };

    /// <summary>Gives up the seat; who serves the store waits a moment for those who still need it.</summary>
    private static async Task TakeLeaveAsync(NodeSession session)
    {
        await session.Rendezvous.LeaveAsync("ended");
        if (session.ServesStore)
        {
            await session.Rendezvous.WaitForOthersToLeaveAsync(Linger);
        }
        else if (session.Rendezvous.IsOver)
        {
            await session.EraseAsync();
        }
    }

    /// <summary>Waits for a task; returns whether it has ended before the time was up and before a signal came.</summary>
    private bool WaitFor(Task task, TimeSpan limit)
    {
        task.ContinueWith(_ => _mailbox.Post(static () => { }), TaskScheduler.Default);
        for (var end = Now + limit; !task.IsCompleted && _stopSignal is null && Now < end;)
        {
            _mailbox.RunNext(end - Now);
        }

        return task.IsCompleted;
    }

    /// <summary>Waits for a task while what happens to the agent goes on happening.</summary>
    private T Await<T>(Task<T> task)
    {
        Await((Task)task);
        return task.GetAwaiter().GetResult();
    }

    private void Await(Task task)
    {
        task.ContinueWith(_ => _mailbox.Post(static () => { }), TaskScheduler.Default);
        while (!task.IsCompleted)
        {
            _mailbox.RunNext(limit: null);
        }

        task.GetAwaiter().GetResult();
    }
}
