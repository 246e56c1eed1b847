using Distributed.Collectives;
using Distributed.Collectives.Launching;

namespace Distributed.Worker.Running;

/// <summary>The way of a rank that has outlived its group into the next one that comes about.</summary>
internal static class NextGroup
{
    /// <summary>Waits for the launcher's next attempt and joins it; where that fails too, the one after it.</summary>
    /// <param name="link">The tie to the launcher.</param>
    /// <param name="environment">What the rank knows of the attempt before.</param>
    /// <param name="envelope">What it was told of that attempt.</param>
    /// <param name="loss">What ended its group, for the launcher.</param>
    /// <param name="join">Joins the group of an attempt.</param>
    /// <param name="stopping">Ends the wait.</param>
    /// <returns>The group, what is known of its attempt, and what was told of it.</returns>
    /// <exception cref="OperationCanceledException"><paramref name="stopping"/> was cancelled.</exception>
    public static async Task<(RankEnvironment Environment, JobEnvelope Envelope, ProcessGroup Group)> JoinAsync(
        LauncherLink link,
        RankEnvironment environment,
        JobEnvelope envelope,
        CollectiveException loss,
        Func<RankEnvironment, JobEnvelope, CancellationToken, Task<ProcessGroup>> join,
        CancellationToken stopping)
    {
        await OutlivingRanks.TellLossAsync(environment, envelope, loss);
        var attempt = await link.WaitForNextAttemptAsync(environment, stopping);
        while (true)
        {
            // An attempt may fail while it comes together: the next one's envelope says so, and may say it first.
            using var ended = CancellationTokenSource.CreateLinkedTokenSource(stopping);
            using var superseded = CancellationTokenSource.CreateLinkedTokenSource(stopping);
            var following = WaitThenCancelAsync(link, attempt.Environment, superseded, ended.Token);
            ProcessGroup? group = null;
            try
            {
                group = await join(attempt.Environment, attempt.Envelope, superseded.Token);
                await ended.CancelAsync();
            }
            catch (Exception exception) when (exception is RendezvousException or OperationCanceledException)
            {
                stopping.ThrowIfCancellationRequested();
                if (exception is RendezvousException)
                {
                    await OutlivingRanks.TellLossAsync(attempt.Environment, attempt.Envelope, exception);
                }
            }

            try
            {
                var next = await following;
                group?.Dispose();
                attempt = next;
            }
            catch (OperationCanceledException) when (group is not null)
            {
                return (attempt.Environment, attempt.Envelope, group);
            }
        }
    }

    private static async Task<(RankEnvironment Environment, JobEnvelope Envelope)> WaitThenCancelAsync(
        LauncherLink link, RankEnvironment environment, CancellationTokenSource superseded, CancellationToken ended)
    {
        var next = await link.WaitForNextAttemptAsync(environment, ended);
        await superseded.CancelAsync();
        return next;
    }
}
