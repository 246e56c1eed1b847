using System.Diagnostics;
using Distributed.Collectives.Launching;
using Microsoft.Win32.SafeHandles;

namespace Distributed.Launcher.Hangs;

/// <summary>
/// Looks at the ranks of a running group once a second and says, once a hang, who waits for whom. It stops nothing and ends nothing.
/// </summary>
internal sealed class HangWatch : IDisposable
{
    private static readonly TimeSpan Period = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan MaxStep = 2 * Period; // A launcher that was stopped itself has not seen the ranks idle meanwhile.
    private const double BusyShare = 0.02; // of one processor; an idle .NET program with its connections uses less than a fifth of that
    private const long BusyByteCount = 4096; // between two looks

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

    /// <summary>Starts to look.</summary>
    /// <param name="directory">The job's directory, with the ranks' pages.</param>
    /// <param name="epoch">The restart count of the group.</param>
    /// <param name="ranks">The ranks of this machine and their processes.</param>
    /// <param name="patience">How long a rank may wait for an idle one.</param>
    /// <param name="tell">Takes a sentence, on a thread of the pool.</param>
    public HangWatch(string directory, int epoch, IEnumerable<(int Rank, int ProcessId)> ranks, TimeSpan patience, Action<string> tell)
    {
        _ranks = [.. ranks.Select(rank => new RankWatch(ProgressPage.PathOf(directory, rank.Rank), epoch, rank.Rank, rank.ProcessId))];
        _patience = patience;
        _tell = tell;
        _timer = new Timer(_ => Look(), state: null, Period, Timeout.InfiniteTimeSpan);
    }

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
            var step = elapsed < MaxStep ? elapsed : MaxStep;
            var ranks = _ranks.Select(rank => rank.Look(step, _somebodyWaits)).OfType<RankProgress>().ToArray();
            _somebodyWaits = HangAnalysis.Waiting(ranks, Period, now).Length > 0;
            Judge(ranks, now);
            _timer.Change(Period, Timeout.InfiniteTimeSpan);
        }
    }

    private void Judge(RankProgress[] ranks, long now)
    {
        // A rank that has ended ends the job, and then the hang is what it was before.
        if (ranks.Length < _ranks.Length)
        {
            return;
        }

        var hang = HangAnalysis.Of(ranks, _patience, now);
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

    /// <summary>What one rank did between two looks.</summary>
    private sealed class RankWatch(string path, int epoch, int rank, int processId) : IDisposable
    {
        private SafeFileHandle? _file;
        private ProgressSnapshot? _page;
        private ProcessActivity _activity;
        private long _transferred;
        private TimeSpan _idleFor;
        private TimeSpan _stoppedFor;

        /// <summary>Looks again; <see langword="null"/> where its process has ended.</summary>
        /// <param name="elapsed">The time since the last look.</param>
        /// <param name="somebodyWaits">Whether it matters what this rank does; else it counts as busy, for the look takes its time.</param>
        public RankProgress? Look(TimeSpan elapsed, bool somebodyWaits)
        {
            var before = _page;
            _page = ReadPage() ?? _page;
            var process = _page?.ProcessId ?? processId;
            if (ProcessActivity.Of(process) is not { } activity)
            {
                return null;
            }

            _stoppedFor = activity.IsStopped ? _stoppedFor + elapsed : TimeSpan.Zero;
            var isBusy = !somebodyWaits || _page != before
                || (activity.ProcessorTime - _activity.ProcessorTime) / elapsed >= BusyShare || HasMoved(process);
            _idleFor = isBusy && !activity.IsStopped ? TimeSpan.Zero : _idleFor + elapsed;
            _activity = activity;
            return new RankProgress(rank, process, _page, _stoppedFor, _idleFor);
        }

        public void Dispose() => _file?.Dispose();

        private bool HasMoved(int process)
        {
            var transferred = ProcessActivity.TransferredByteCount(process);
            var hasMoved = transferred - _transferred >= BusyByteCount;
            _transferred = transferred;
            return hasMoved || ProcessActivity.HasBusyThread(process);
        }

        private ProgressSnapshot? ReadPage()
        {
            try
            {
                _file ??= File.Exists(path) ? File.OpenHandle(path, share: FileShare.ReadWrite | FileShare.Delete) : null;
                return _file is null ? null : ProgressPage.TryRead(_file, epoch);
            }
            catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
            {
                return null;
            }
        }
    }
}
