using System.Diagnostics;
using System.Globalization;
using System.Text;
using Distributed.Collectives;

namespace Distributed.Launcher.Rendezvous;

/// <summary>
/// One node's part in the rendezvous of its run: it joins rounds, learns how they end, says how they end for it, and shows all the while
/// that it lives. What it decides is in <see cref="JoinStep"/>, <see cref="RendezvousRules"/> and <see cref="PresenceWatch"/>.
/// </summary>
internal sealed class NodeRendezvous : IAsyncDisposable
{
    private const int MaxReportByteCount = 60_000; // a value of the store has at most 64 KiB

    private static readonly TimeSpan TellInterval = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan LongestWait = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan RetryPause = TimeSpan.FromMilliseconds(200);

    private readonly RendezvousStore _store;
    private readonly string _id;
    private readonly RendezvousState _settings;
    private readonly RendezvousDocument _document;
    private readonly PresenceWatch _watch;
    private readonly CancellationTokenSource _stopping = new();
    private IReadOnlyDictionary<string, TimeSpan> _silences = new Dictionary<string, TimeSpan>();
    private Task _keepAlive = Task.CompletedTask;

    /// <param name="store">The run's; the caller disposes it.</param>
    /// <param name="settings">What the run begins with, as this node was told.</param>
    /// <param name="id">This node's.</param>
    /// <param name="limits">Times.</param>
    public NodeRendezvous(RendezvousStore store, RendezvousState settings, string id, RendezvousLimits limits)
    {
        _store = store;
        _settings = settings;
        Limits = limits;
        _id = id;
        _document = new RendezvousDocument(store, settings);
        _watch = new PresenceWatch(id, limits.KeepAliveTimeout);
    }

    /// <summary>The times of the rendezvous.</summary>
    public RendezvousLimits Limits { get; }

    /// <summary>Failures so far that were followed by another round.</summary>
    public int RestartCount => _document.State.RestartCount;

    /// <summary>Why the run is over; <see langword="null"/> where it is not, or all its ranks have succeeded.</summary>
    public RoundEnd? FinalEnd => _document.State is { IsClosed: true } state ? state.End : null;

    /// <summary>Whether the run is over and nobody is left in it, as far as this node knows.</summary>
    public bool IsOver => _document.State is { IsClosed: true } state && !state.Nodes.Any();

    private static TimeSpan Now => Stopwatch.GetElapsedTime(0);

    /// <summary>Takes part in a round: returns when it is complete.</summary>
    /// <param name="node">What this node says about itself.</param>
    /// <param name="afterRound">The round that this node has left; -1 for none.</param>
    /// <param name="tell">Told every few seconds who is here and who is missing.</param>
    /// <param name="cancellationToken">Ends the wait; the node's seat is free at once.</param>
    /// <exception cref="RendezvousTimeoutException">Too few nodes came in time; the message says who is missing.</exception>
    /// <exception cref="RendezvousClosedException">The run is over, or does not fit this node.</exception>
    /// <exception cref="RendezvousConnectionException">The store was out of reach for too long.</exception>
    public async Task<RendezvousState> JoinAsync(NodeEntry node, int afterRound, Action<string> tell, CancellationToken cancellationToken)
    {
        await WaitForChangeAsync(_document.State, TimeSpan.Zero, cancellationToken);
        CheckSettings(_document.State);
        if (_keepAlive.IsCompleted)
        {
            _keepAlive = Task.Run(KeepAliveAsync, CancellationToken.None);
        }

        try
        {
            return await StepUntilPlacedAsync(node, afterRound, new JoinClock(), tell, cancellationToken);
        }
        catch (Exception exception) when (exception is not RendezvousConnectionException)
        {
            await LeaveAsync("left");
            throw;
        }
    }

    /// <summary>Returns why the round ended, or <see langword="null"/> where all its ranks have succeeded.</summary>
    /// <param name="round">A round that this node takes part in.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <exception cref="RendezvousConnectionException">The store was out of reach for too long.</exception>
    public async Task<RoundEnd?> WaitForEndAsync(RendezvousState round, CancellationToken cancellationToken)
    {
        while (true)
        {
            var state = _document.State;
            if (state.Round == round.Round && state.End is { } end)
            {
                return end;
            }

            if (state.Round != round.Round || !state.IsParticipant(_id))
            {
                return state.IsClosed && state.End is null ? null : TakenForLost(round);
            }

            if (state.IsClosed)
            {
                return null;
            }

            await WaitForChangeAsync(state, LongestWait, cancellationToken);
        }
    }

    /// <summary>Writes down why the round ends, unless that is known already.</summary>
    public Task EndRoundAsync(int round, RoundEnd end, CancellationToken cancellationToken)
        => UpdateAsync(state => state.Round == round ? state.EndRound(end) : state, cancellationToken);

    /// <summary>All ranks of this node have succeeded.</summary>
    public Task FinishAsync(int round, CancellationToken cancellationToken)
        => UpdateAsync(state => state.Round == round ? state.Finish(_id) : state, cancellationToken);

    /// <summary>Gives up this node's seat. Where the store cannot be reached, the others will miss it soon.</summary>
    /// <param name="cause">What became of the node, for the others: "was stopped by SIGTERM".</param>
    /// <returns>Whether the store knows.</returns>
    public async Task<bool> LeaveAsync(string cause)
    {
        using var limit = new CancellationTokenSource(Limits.CloseTimeout);
        try
        {
            await UpdateAsync(state => state.Remove(_id, cause), limit.Token);
            return true;
        }
        catch (Exception exception) when (exception is RendezvousException or OperationCanceledException)
        {
            return false;
        }
    }

    /// <summary>Waits, for a moment, until no other node needs the store any more.</summary>
    public async Task WaitForOthersToLeaveAsync(TimeSpan timeout)
    {
        using var limit = new CancellationTokenSource(timeout);
        try
        {
            while (_document.State is var state && state.Nodes.Any(node => node.Id != _id))
            {
                await WaitForChangeAsync(state, LongestWait, limit.Token);
            }
        }
        catch (Exception exception) when (exception is RendezvousException or OperationCanceledException)
        {
            // They have had their time.
        }
    }

    /// <summary>Leaves the report of a failure on this node for the others.</summary>
    public Task PublishReportAsync(int round, string nodeId, string report, CancellationToken cancellationToken)
    {
        var bytes = Encoding.UTF8.GetBytes(report);
        return _store.SetAsync(ReportKey(round, nodeId), bytes.AsMemory(0, Math.Min(bytes.Length, MaxReportByteCount)), cancellationToken);
    }

    /// <summary>The report of a failure on another node; <see langword="null"/> where none came in time.</summary>
    public async Task<string?> ReadReportAsync(int round, string nodeId, TimeSpan timeout, CancellationToken cancellationToken)
    {
        try
        {
            return Encoding.UTF8.GetString(await _store.GetAsync(ReportKey(round, nodeId), timeout, cancellationToken));
        }
        catch (RendezvousException)
        {
            return null;
        }
    }

    public async ValueTask DisposeAsync()
    {
        await _stopping.CancelAsync();
        await _keepAlive.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        _stopping.Dispose();
    }

    private static string ReportKey(int round, string nodeId) => string.Create(CultureInfo.InvariantCulture, $"report/{round}/{nodeId}");

    private static string BeatKey(string id) => $"beat/{id}";

    private async Task<RendezvousState> StepUntilPlacedAsync(
        NodeEntry node, int afterRound, JoinClock clock, Action<string> tell, CancellationToken cancellationToken)
    {
        while (true)
        {
            var state = _document.State;
            var waits = clock.Measure(state, node, Now);
            switch (JoinStep.Next(state, node, afterRound, waits, Limits))
            {
                case JoinStep.Placed placed:
                    return placed.State;
                case JoinStep.Fail failure:
                    throw failure.Cause;
                case JoinStep.Write write:
                    await RetryAsync(() => _document.TryWriteAsync(state, write.State, cancellationToken), cancellationToken);
                    break;
                default:
                    TimeSpan? toLastCall = state.LastCall > 0 ? Limits.LastCallTimeout - waits.SinceLastCall : null;
                    if (clock.IsTimeToTell(Now, TellInterval))
                    {
                        tell(WaitingReport.Describe(state, node, toLastCall, _silences));
                    }

                    await WaitForChangeAsync(state, toLastCall < LongestWait ? toLastCall.Value : LongestWait, cancellationToken);
                    break;
            }
        }
    }

    private void CheckSettings(RendezvousState state)
    {
        if ((state.MinNodes, state.MaxNodes, state.MaxRestarts) != (_settings.MinNodes, _settings.MaxNodes, _settings.MaxRestarts))
        {
            throw new RendezvousClosedException(string.Create(
                CultureInfo.InvariantCulture,
                $"This node has --nnodes {_settings.MinNodes}:{_settings.MaxNodes} --max-restarts {_settings.MaxRestarts}, and the run was begun with ")
                + string.Create(
                    CultureInfo.InvariantCulture,
                    $"--nnodes {state.MinNodes}:{state.MaxNodes} --max-restarts {state.MaxRestarts}; start every node with the same."));
        }
    }

    private RoundEnd TakenForLost(RendezvousState round) => new()
    {
        NodeId = _id,
        Host = round.Find(_id)!.Host,
        Cause = "the other nodes have taken this one for lost: it gave no sign of life in time",
        ExitCode = Collectives.Launching.ExitCodes.GroupFailed,
        IsFinal = false,
    };

    private Task UpdateAsync(Func<RendezvousState, RendezvousState> change, CancellationToken cancellationToken)
        => RetryAsync(() => _document.UpdateAsync(change, cancellationToken), cancellationToken);

    private Task WaitForChangeAsync(RendezvousState seen, TimeSpan limit, CancellationToken cancellationToken)
        => RetryAsync(() => _document.RefreshAsync(seen, limit > TimeSpan.Zero ? limit : TimeSpan.Zero, cancellationToken), cancellationToken);

    /// <summary>Bears with a store that is out of reach for no longer than the others bear with a silent node.</summary>
    private async Task RetryAsync(Func<Task> use, CancellationToken cancellationToken)
    {
        var started = Now;
        while (true)
        {
            try
            {
                await use();
                return;
            }
            catch (RendezvousConnectionException) when (!cancellationToken.IsCancellationRequested && Now - started < Limits.KeepAliveTimeout)
            {
                await Task.Delay(RetryPause, cancellationToken);
            }
        }
    }

    private async Task KeepAliveAsync()
    {
        var cancellation = _stopping.Token;
        for (long beat = 1; !cancellation.IsCancellationRequested; beat++)
        {
            try
            {
                await _store.SetAsync(BeatKey(_id), Encoding.ASCII.GetBytes(beat.ToString(CultureInfo.InvariantCulture)), cancellation);
                await LookForTheLostAsync(cancellation);
            }
            catch (RendezvousException)
            {
                // One sign of life less; others follow, and whoever needs the store will say that it is gone.
            }

            await Task.Delay(Limits.KeepAliveInterval, cancellation);
        }
    }

    private async Task LookForTheLostAsync(CancellationToken cancellationToken)
    {
        var beats = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var id in _watch.Watched(_document.State))
        {
            var value = await _store.GetChangedAsync(BeatKey(id), known: null, TimeSpan.Zero, cancellationToken);
            beats[id] = value is null ? "" : Encoding.ASCII.GetString(value);
        }

        foreach (var id in _watch.Observe(beats, Now))
        {
            var silence = string.Create(CultureInfo.InvariantCulture, $"was lost: no sign of life for {Limits.KeepAliveTimeout.TotalSeconds:0.###} s");
            await UpdateAsync(state => state.Remove(id, silence), cancellationToken);
        }

        _silences = _watch.Silences(Now, Limits.KeepAliveInterval);
    }

    /// <summary>Since when this node has waited, and seen what it waits for.</summary>
    private sealed class JoinClock
    {
        private readonly TimeSpan _started = Now;
        private TimeSpan _told = Now;
        private (int Ordinal, TimeSpan Since) _lastCall;
        private (string? Id, TimeSpan Since) _twin;

        public JoinWaits Measure(RendezvousState state, NodeEntry node, TimeSpan now)
        {
            if (_lastCall.Ordinal != state.LastCall)
            {
                _lastCall = (state.LastCall, now);
            }

            var twin = state.Nodes.FirstOrDefault(other => other.Id != node.Id && node.DeclaredRank is not null && other.DeclaredRank == node.DeclaredRank);
            if (_twin.Id != twin?.Id)
            {
                _twin = (twin?.Id, now);
            }

            return new JoinWaits(
                now - _started,
                state.LastCall > 0 ? now - _lastCall.Since : TimeSpan.Zero,
                twin is not null ? now - _twin.Since : TimeSpan.Zero);
        }

        public bool IsTimeToTell(TimeSpan now, TimeSpan interval)
        {
            if (now - _told < interval)
            {
                return false;
            }

            _told = now;
            return true;
        }
    }
}
