using System.Diagnostics;
using Distributed.Collectives;
using Distributed.Launcher.Hangs;
using Distributed.Launcher.Processes;
using Distributed.Launcher.Reporting;

namespace Distributed.Launcher.Jobs;

/// <summary>One life of the group: the ranks of this node from the first start to the last end, and the store that they meet in.</summary>
/// <param name="plan">What they are started with.</param>
/// <param name="starter">Starts them.</param>
/// <param name="group">Supervises them; owned by the attempt.</param>
/// <param name="mailbox">Brings what happens to the agent's thread.</param>
internal sealed class Attempt(AttemptPlan plan, RankStarter starter, WorkerGroup group, Mailbox mailbox) : IDisposable
{
    private static readonly TimeSpan StoreLimit = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan OrphanLimit = TimeSpan.FromSeconds(1);

    private Task<StoreServer>? _store;
    private string? _failure; // of the launcher itself

    /// <summary>Called once when the first failure of a rank is settled, with the time from the start of the ranks to it, and what there is to say of a rank.</summary>
    public Action<FailureAnalysis, TimeSpan, Func<RankExit, RankDetails>>? Failed { get; init; }

    /// <summary>Starts a store beside the ranks, which knock until it is there.</summary>
    /// <param name="path">Of its socket; the plan has the address.</param>
    /// <param name="shared">The store that the ranks of all nodes share, where there are several; else it is an empty one.</param>
    public void StartStore(string path, RendezvousStore? shared = null)
    {
        _store = Task.Run(async () =>
        {
            var (jobId, secret) = await plan.Identity!;
            return await StoreServer.StartAsync(path, jobId, secret, shared);
        });
        _store.ContinueWith(
            failed => mailbox.Post(() =>
            {
                _failure = failed.Exception!.GetBaseException().Message;
                group.Stop();
            }),
            CancellationToken.None,
            TaskContinuationOptions.OnlyOnFaulted,
            TaskScheduler.Default);
    }

    /// <summary>Starts the ranks, and returns when all have ended and what they wrote is on the console.</summary>
    /// <param name="started">Called when they have been started; what it returns explains their hangs, and is disposed here.</param>
    /// <param name="takesLong">Called once if a teardown takes its time, with the ranks that are waited for.</param>
    /// <param name="waitForOutput">Waits for what the ranks that have ended wrote.</param>
    public AttemptOutcome Run(Func<HangWatch?> started, Action<IReadOnlyCollection<int>> takesLong, Action<WorkerGroup, Supervisor> waitForOutput)
    {
        group.Start((localRank, watch) => starter.Start(plan, localRank, watch), plan.Placement.LocalWorldSize);
        var startTime = Stopwatch.GetElapsedTime(0);
        group.Failed = analysis => Failed?.Invoke(analysis, Stopwatch.GetElapsedTime(0) - startTime, DetailsOf);
        using var hangs = started();
        var supervisor = group.Supervise(takesLong);
        var orphans = OperatingSystem.IsWindows() ? [] : Orphans.KillAll(OrphanLimit);
        waitForOutput(group, supervisor);

        var failure = FailureAnalysis.Of(supervisor.Exits, supervisor.Collateral);
        return new AttemptOutcome
        {
            StoppedBySignal = supervisor.StoppedBySignal,
            StartFailure = group.StartFailure,
            LauncherFailure = _failure,
            Exits = supervisor.Exits,
            Collateral = supervisor.Collateral,
            Failure = failure,
            Details = failure?.Others.Append(failure.RootCause).ToDictionary(exit => exit.Rank, DetailsOf) ?? [],
            ErrorFile = failure is null ? null : plan.Logs.ErrorFileOf(failure.RootCause.LocalRank),
            Uptime = (supervisor.FirstFailureTime ?? startTime) - startTime,
            Orphans = orphans,
            IsClean = supervisor.Alive.Count - supervisor.Spared.Count + orphans.Count == 0,
            Outliving = [.. supervisor.Spared.Select(group.Keep)],
            Hang = hangs?.Current,
        };
    }

    /// <summary>
    /// Ends the store, where another attempt follows. That of the last one goes with the launcher: nobody waits for it to remove its
    /// socket, and the job's directory is removed as a whole.
    /// </summary>
    public void StopStore()
    {
        try
        {
            (_store is null ? Task.CompletedTask : StopAsync(_store)).Wait(StoreLimit);
        }
        catch (AggregateException)
        {
            // It never came up, or did not end well: the next one has a socket of its own.
        }
    }

    public void Dispose() => group.Dispose();

    private static async Task StopAsync(Task<StoreServer> store)
    {
        await using var server = await store;
    }

    private RankDetails DetailsOf(RankExit failure)
    {
        var hasFile = failure.Error is not null || failure.ErrorProblem is not null;
        var path = !hasFile ? FailureReport.NotAvailable
            : plan.Logs.AreKept ? plan.Logs.ErrorFileOf(failure.LocalRank)!
            : "<kept only with --log-dir>";
        return new RankDetails(path, group[failure.Rank].Tail.Lines());
    }
}
