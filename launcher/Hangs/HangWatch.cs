using System.Diagnostics;
using Distributed.Collectives.Launching;
using Distributed.Launcher.Jobs;

namespace Distributed.Launcher.Hangs;

/// <summary>
/// Looks at the ranks of a running group once a second and says, once a hang, who waits for whom. It stops nothing and ends nothing.
/// </summary>
internal sealed class HangWatch : IDisposable
{
    private static readonly TimeSpan Period = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan MaxStep = 2 * Period; // A launcher that was stopped itself has not seen the ranks idle meanwhile.

    private readonly Lock _gate = new();
    private readonly RankWatch[] _ranks;
    private readonly TimeSpan _patience;
    private readonly Action<string> _tell;
    private readonly Timer _timer;
    private Hang? _hang;
    private long _hangSince;
    private long _lastLook = Stopwatch.GetTimestamp();
    private bool _somebodyWaits;
    private bool _isDisposed;

    private HangWatch(RankWatch[] ranks, TimeSpan patience, Action<string> tell)
    {
        _ranks = ranks;
        _patience = patience;
        _tell = tell;
        _timer = new Timer(_ => Look(), state: null, Period, Timeout.InfiniteTimeSpan);
    }

    /// <summary>Starts to look at the ranks of an attempt; <see langword="null"/> where there is nobody to compare, or nothing to say.</summary>
    /// <param name="directory">The job's directory, with the ranks' pages.</param>
    /// <param name="plan">What the ranks were started with.</param>
    /// <param name="group">The ranks.</param>
    /// <param name="patience">How long a rank may wait for an idle one; zero for ever.</param>
    /// <param name="tell">Takes a sentence, on a thread of the pool.</param>
    public static HangWatch? Start(string directory, AttemptPlan plan, WorkerGroup group, TimeSpan patience, Action<string> tell)
        => group.Workers.Count < 2 || patience == TimeSpan.Zero ? null
            : new HangWatch(
                [.. group.Workers.Select(worker => new RankWatch(
                    ProgressPage.PathOf(directory, worker.Rank), plan.RestartCount, worker.Rank, worker.Process.Id))],
                patience,
                tell);

    /// <summary>The hang that the group is in, or was in when it ended; <see langword="null"/> where there is none.</summary>
    public string? Current
    {
        get
        {
            lock (_gate)
            {
                return _hang?.Text;
            }
        }
    }

    public void Dispose()
    {
        lock (_gate)
        {
            _isDisposed = true;
            _timer.Dispose();
            foreach (var rank in _ranks)
            {
                rank.Dispose();
            }
        }
    }

    private void Look()
    {
        lock (_gate)
        {
            if (_isDisposed)
            {
                return;
            }

            var now = Stopwatch.GetTimestamp();
            var elapsed = Stopwatch.GetElapsedTime(_lastLook, now);
            _lastLook = now;
            Judge(LookAtAll(elapsed < MaxStep ? elapsed : MaxStep, now), now);
            _timer.Change(Period, Timeout.InfiniteTimeSpan);
        }
    }

    /// <summary>Looks at every rank; <see langword="null"/> where one has ended, which ends the job.</summary>
    private bool? LookAtAll(TimeSpan elapsed, long now)
    {
        var somebodyWaits = false;
        var somebodyIsStopped = false;
        foreach (var rank in _ranks)
        {
            if (!rank.Look(elapsed, _somebodyWaits))
            {
                return null;
            }

            somebodyWaits |= rank.Waits(Period, now);
            somebodyIsStopped |= rank.IsStopped;
        }

        _somebodyWaits = somebodyWaits;
        return somebodyWaits || somebodyIsStopped;
    }

    /// <summary>Tells a hang that is new, and its end.</summary>
    /// <param name="isSuspicious">Whether there may be one; <see langword="null"/> where what was the last hang stays so.</param>
    /// <param name="now">The time.</param>
    private void Judge(bool? isSuspicious, long now)
    {
        if (isSuspicious is null)
        {
            return;
        }

        var hang = isSuspicious.Value ? HangAnalysis.Of(Array.ConvertAll(_ranks, rank => rank.Progress), _patience, now) : null;
        if (hang is not null && hang.Key != _hang?.Key)
        {
            _hangSince = _hang is null ? now : _hangSince;
            _tell($"{hang.Text}.");
        }
        else if (hang is null && _hang is not null)
        {
            _tell(FormattableString.Invariant($"the ranks go on, {Stopwatch.GetElapsedTime(_hangSince, now).TotalSeconds:0.0} s after that was said."));
        }

        _hang = hang;
    }
}
