using System.Diagnostics;
using Distributed.Collectives.Launching;
using Microsoft.Win32.SafeHandles;

namespace Distributed.Launcher.Hangs;

/// <summary>Follows one rank from look to look.</summary>
/// <param name="pagePath">Where the rank publishes its place, if it does.</param>
/// <param name="epoch">The restart count of its group.</param>
/// <param name="rank">The rank.</param>
/// <param name="processId">The process that was started for it, which may have started the one that publishes.</param>
internal sealed class RankWatch(string pagePath, int epoch, int rank, int processId) : IDisposable
{
    private const double BusyShare = 0.02; // of one processor; an idle .NET program with its connections uses less than a fifth of that
    private const long BusyByteCount = 4096; // between two looks

    private ProcessProbe _probe = new(processId);
    private SafeFileHandle? _pageFile;
    private ProgressSnapshot? _page;
    private TimeSpan _processorTime;
    private long _transferred;
    private TimeSpan _idleFor;
    private TimeSpan _stoppedFor;

    public bool IsStopped => _stoppedFor > TimeSpan.Zero;

    /// <summary>What is known of it now.</summary>
    public RankProgress Progress => new(rank, _probe.ProcessId, _page, _stoppedFor, _idleFor);

    /// <summary>Looks again; <see langword="false"/> where its process has ended.</summary>
    /// <param name="elapsed">The time since the last look.</param>
    /// <param name="somebodyWaits">Whether it matters what this rank does; else it counts as busy, for a closer look takes its time.</param>
    public bool Look(TimeSpan elapsed, bool somebodyWaits)
    {
        var hasMoved = ReadPage();
        if (!_probe.Look())
        {
            return false;
        }

        _stoppedFor = _probe.IsStopped ? _stoppedFor + elapsed : TimeSpan.Zero;
        var isBusy = !somebodyWaits || hasMoved || (_probe.ProcessorTime - _processorTime) / elapsed >= BusyShare || HasTransferred() || _probe.HasBusyThread();
        _idleFor = isBusy && !_probe.IsStopped ? TimeSpan.Zero : _idleFor + elapsed;
        _processorTime = _probe.ProcessorTime;
        return true;
    }

    /// <summary>Whether it has been in an operation for so long that it waits for another rank there.</summary>
    public bool Waits(TimeSpan patience, long now)
        => _page is { Phase: ProgressPhase.InOperation } page && Stopwatch.GetElapsedTime(page.Since, now) >= patience;

    public void Dispose()
    {
        _probe.Dispose();
        _pageFile?.Dispose();
    }

    private bool HasTransferred()
    {
        var before = _transferred;
        _transferred = _probe.TransferredByteCount();
        return _transferred - before >= BusyByteCount;
    }

    /// <summary>Reads the page and says whether it has changed.</summary>
    private bool ReadPage()
    {
        try
        {
            if (_pageFile is null && File.Exists(pagePath))
            {
                _pageFile = File.OpenHandle(pagePath, share: FileShare.ReadWrite | FileShare.Delete);
            }

            if (_pageFile is null || ProgressPage.TryRead(_pageFile, epoch) is not { } page || page == _page)
            {
                return false;
            }

            _page = page;
            if (page.ProcessId != _probe.ProcessId)
            {
                _probe.Dispose();
                _probe = new ProcessProbe(page.ProcessId);
            }

            return true;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }
}
