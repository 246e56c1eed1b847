using System.Globalization;
using Distributed.Collectives;
using Distributed.Collectives.Launching;
using Distributed.Launcher.Processes;
using Distributed.Launcher.Rendezvous;
using Distributed.Launcher.Reporting;

namespace Distributed.Launcher.Jobs;

/// <content>One round on this node.</content>
internal sealed partial class LocalAgent
{
    // What a victim waits to be told of its culprit on another node.
    private static readonly TimeSpan CulpritWait = TimeSpan.FromSeconds(1);

    // For what a rank wrote just before its death to arrive here.
    private static readonly TimeSpan LastWords = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan ReportWait = TimeSpan.FromSeconds(3);
    private static readonly TimeSpan LongWait = TimeSpan.FromDays(1);

    /// <summary>One round on this node, from the start of its ranks to what the nodes make of its end.</summary>
    private sealed class NodeAttempt(LocalAgent agent, NodeSession session, NodeRound round)
    {
        private readonly Task<RoundEnd?> _end = session.Rendezvous.WaitForEndAsync(round.State, CancellationToken.None);
        private readonly TimeSpan _started = Now;
        private Task _report = Task.CompletedTask;
        private Task<string?> _othersReport = Task.FromResult<string?>(null);
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

        /// <summary>
        /// What ends the round elsewhere ends the ranks here. What there is to know is asked for at once: the ranks may take longer to end than
        /// the node that serves the store.
        /// </summary>
        private void FollowTheOthers(WorkerGroup group) => _end.ContinueWith(
            ended =>
            {
                if (ended is { IsCompletedSuccessfully: true, Result: { IsFinal: true } end } && end.NodeId != session.Id)
                {
                    _othersReport = LearnAsync(end);
                }

                agent._mailbox.Post(group.Stop);
            },
            TaskScheduler.Default);

        private async Task<string?> LearnAsync(RoundEnd end)
        {
            var report = end.HasReport
                ? await session.Rendezvous.ReadReportAsync(round.Number, end.NodeId, ReportWait, CancellationToken.None) : null;
            await session.Rendezvous.LeaveAsync("ended");
            return report;
        }

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
            if (agent.Await(_othersReport) is { } report)
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
