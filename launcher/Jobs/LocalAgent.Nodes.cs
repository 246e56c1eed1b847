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
    // What the other launchers get to read the last news, and a victim to be told of its culprit on another node.
    private static readonly TimeSpan Linger = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan CulpritWait = TimeSpan.FromSeconds(1);

    // For what a rank wrote just before its death to arrive here.
    private static readonly TimeSpan LastWords = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan ReportWait = TimeSpan.FromSeconds(3);

    private static readonly TimeSpan LongWait = TimeSpan.FromDays(1);

    private CancellationTokenSource? _stopping; // of a wait for other nodes
    private int _groupRank;
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
            _events.JobEnded(_groupRank, session.Rendezvous.RestartCount, exitCode, session.Rendezvous.FinalEnd?.Cause);
            Await(TakeLeaveAsync(session));
            return exitCode;
        }
        catch (OperationCanceledException) when (_stopSignal is not null)
        {
            return ExitCodes.ForSignal(_stopSignal.Value); // JoinAsync has given up the seat
        }
        catch (RendezvousException exception)
        {
            Say(exception.Message);
            return session?.Rendezvous.FinalEnd is { } end ? end.ExitCode
                : exception is RendezvousClosedException or RendezvousRefusedException ? ExitCodes.Failure : ExitCodes.GroupFailed;
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

    private NodeSelf SelfAmongNodes() => new()
    {
        Host = _host,
        LocalWorldSize = WorldSize,
        Role = _options.Role,
        RunId = _options.RunId,
        MaxRestarts = _options.Restarts.MaxRestarts,
        NeedsSecret = _options.Program.IsBundled,
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
        var storePath = _options.Program.IsBundled && round.Placement.WorldSize > 1
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

    /// <summary>One round on this node, from the start of its ranks to what the nodes make of its end.</summary>
    private sealed class NodeAttempt(LocalAgent agent, NodeSession session, NodeRound round)
    {
        private readonly Task<RoundEnd?> _end = session.Rendezvous.WaitForEndAsync(round.State, CancellationToken.None);
        private readonly TimeSpan _started = Now;
        private Task _report = Task.CompletedTask;
        private RestartDecision? _decision; // of this node, where its rank was the first here to fail

        /// <summary>Runs it; returns the exit code of the launcher, or <see langword="null"/> where another round follows.</summary>
        public int? Run()
        {
            var outcome = agent.RunRound(round, FollowTheOthers, OnFailure);
            if (agent._stopSignal is { } signal)
            {
                agent.Await(session.Rendezvous.LeaveAsync($"was stopped by {Signals.Name(signal)}"));
                return ExitCodes.ForSignal(signal);
            }

            if (WhyItCannotStart(outcome) is { } problem)
            {
                agent.Await(session.Rendezvous.EndRoundAsync(round.Number, problem, CancellationToken.None));
                return agent.Conclude(outcome);
            }

            try
            {
                return Settle(outcome);
            }
            catch (RendezvousConnectionException exception)
            {
                agent.Say($"this node has lost the others, and its ranks were stopped: {exception.Message}");
                return outcome.Failure is null ? ExitCodes.GroupFailed : agent.Conclude(outcome);
            }
        }

        /// <summary>What ends the round elsewhere ends the ranks here.</summary>
        private void FollowTheOthers(WorkerGroup group)
            => _end.ContinueWith(_ => agent._mailbox.Post(group.Stop), TaskScheduler.Default);

        /// <summary>The first failure on this node: told to the others at once, while the ranks here are still being ended.</summary>
        private void OnFailure(FailureAnalysis analysis, TimeSpan uptime, Func<RankExit, RankDetails> detailsOf)
        {
            if (agent._stopSignal is not null || _end.IsCompleted)
            {
                return; // a consequence
            }

            var cause = analysis.RootCause;
            _decision = agent.DecideOnRestart(cause, uptime, round.State);
            var end = new RoundEnd
            {
                NodeId = session.Id,
                Host = agent._host,
                Cause = string.Create(CultureInfo.InvariantCulture, $"rank {cause.Rank} on {agent._host} failed first ({FailureReport.Describe(cause)})"),
                ExitCode = cause.End.ShellCode,
                IsFinal = _decision.Delay is null,
                IsCounted = true,
                HasReport = !agent.IsRefusalOfInput(analysis),
                BackoffSeconds = _decision.Delay?.TotalSeconds ?? 0,
            };
            _report = Task.Run(async () =>
            {
                if (cause.IsVictim)
                {
                    await Task.WhenAny(_end, Task.Delay(CulpritWait)); // of a culprit on another node
                }

                await session.Rendezvous.EndRoundAsync(round.Number, end, CancellationToken.None);
                if (end.HasReport)
                {
                    await Task.Delay(LastWords);
                    var report = FailureReport.Format(agent._options.Program.Title, agent._host, analysis, detailsOf);
                    await session.Rendezvous.PublishReportAsync(round.Number, session.Id, report, CancellationToken.None);
                }
            });
        }

        private RoundEnd? WhyItCannotStart(AttemptOutcome outcome)
            => outcome.StartFailure is { } start
                ? agent.EndOf(session, $"{agent._options.Program.Path} cannot be started on {agent._host}: {start.Message}", start.IsProgramsFault ? ExitCodes.BadInput : ExitCodes.Failure)
                : outcome.LauncherFailure is { } failure ? agent.EndOf(session, $"the launcher on {agent._host} cannot go on: {failure}", ExitCodes.Failure)
                : null;

        private int? Settle(AttemptOutcome outcome)
        {
            agent.Await(_report);
            if (outcome.Failure is null && !_end.IsCompleted)
            {
                agent.Await(session.Rendezvous.FinishAsync(round.Number, CancellationToken.None));
                if (!agent.WaitFor(_end, session.Rendezvous.Limits.ExitBarrierTimeout) && agent._stopSignal is null)
                {
                    agent.Say("the ranks of this node have succeeded; other nodes still run, and are not waited for any longer.");
                    return ExitCodes.Success;
                }
            }

            while (!agent.WaitFor(_end, LongWait) && agent._stopSignal is null)
            {
            }

            if (agent._stopSignal is { } signal)
            {
                agent.Await(session.Rendezvous.LeaveAsync($"was stopped by {Signals.Name(signal)}"));
                return ExitCodes.ForSignal(signal);
            }

            var end = agent.Await(_end);
            return end is null ? ExitCodes.Success : end.IsFinal ? Conclude(end, outcome) : Restart(end, outcome);
        }

        private int Conclude(RoundEnd end, AttemptOutcome outcome)
        {
            if (end.NodeId == session.Id && outcome.Failure is not null)
            {
                if (_decision?.Refusal is { } refusal)
                {
                    agent.Say(refusal);
                }

                agent.Conclude(outcome);
                return end.ExitCode;
            }

            agent.Say($"{end.Cause}; the ranks of this node were stopped.");
            if (end.HasReport && agent.Await(session.Rendezvous.ReadReportAsync(round.Number, end.NodeId, ReportWait, CancellationToken.None)) is { } report)
            {
                agent._console.Say(report);
            }

            return end.ExitCode;
        }

        private int? Restart(RoundEnd end, AttemptOutcome outcome)
        {
            var isOwn = end.NodeId == session.Id && _decision?.Delay is not null;
            if (end.IsCounted && !isOwn)
            {
                agent._restarts.Count(Now - _started, Now);
            }

            agent.Say(string.Create(
                CultureInfo.InvariantCulture,
                $"{end.Cause}; the group starts again{(end.IsCounted ? $" (restart {round.State.RestartCount + 1} of {round.State.MaxRestarts})" : "")}."));
            if (isOwn && outcome.Failure is { } failure)
            {
                agent._events.GroupRestarts(round.Placement.GroupRank, round.State.RestartCount + 1, failure.RootCause, TimeSpan.FromSeconds(end.BackoffSeconds));
            }

            return agent.Pause(TimeSpan.FromSeconds(end.BackoffSeconds)) ? null : ExitCodes.ForSignal(agent._stopSignal!.Value);
        }
    }
}
