using System.Diagnostics;
using Distributed.Engine.Model;
using Distributed.Engine.Serving;

namespace Distributed.Worker.Serving.Page;

/// <summary>
/// What the ranks do per second and per step, as differences of what they count, taken about once a second however many ask. Between two steps the ranks are
/// asked for their figures; while a step takes longer than that, the last figures stand.
/// </summary>
internal sealed class RankFigures(InferenceScheduler scheduler)
{
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(0.9);
    private static readonly TimeSpan LongestGap = TimeSpan.FromSeconds(5); // behind it nobody looked, and a mean would be about the past
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(0.5);

    private readonly Lock _gate = new();
    private Task _refreshing = Task.CompletedTask;
    private Task<RankStatistics[]>? _asked; // not answered yet
    private RankStatistics[] _counts = [];
    private long _taken; // timestamp; 0 before the first one
    private long _generated;

    /// <summary>Tokens generated per second, between the last two samples.</summary>
    public double TokensPerSecond { get; private set; }

    /// <summary>[rank]; empty before the first answer.</summary>
    public IReadOnlyList<RankFigure> Ranks { get; private set; } = [];

    /// <summary>Takes a new sample if the last one is old; all who ask meanwhile wait for the same one.</summary>
    public Task RefreshAsync()
    {
        lock (_gate)
        {
            var elapsed = _taken == 0 ? TimeSpan.MaxValue : Stopwatch.GetElapsedTime(_taken);
            return !_refreshing.IsCompleted || elapsed < Interval ? _refreshing : _refreshing = SampleAsync(elapsed);
        }
    }

    private async Task SampleAsync(TimeSpan elapsed)
    {
        var generated = scheduler.Snapshot().GeneratedTokens;
        TokensPerSecond = elapsed > LongestGap ? 0 : (generated - _generated) / elapsed.TotalSeconds;
        (_taken, _generated) = (Stopwatch.GetTimestamp(), generated);
        _asked ??= scheduler.CollectStatisticsAsync();
        if (await Task.WhenAny(_asked, Task.Delay(Patience)) == _asked)
        {
            Take(_asked);
            _asked = null;
        }
    }

    private void Take(Task<RankStatistics[]> answered)
    {
        if (!answered.IsCompletedSuccessfully)
        {
            return; // the scheduler does not run
        }

        var counts = answered.Result;
        Ranks = [.. counts.Select((count, rank) => FigureOf(count, _counts.Length > rank ? _counts[rank] : default, Ranks.Count > rank ? Ranks[rank] : default))];
        _counts = counts;
    }

    private static RankFigure FigureOf(RankStatistics now, RankStatistics before, RankFigure last)
    {
        var steps = now.StepCount - before.StepCount;
        return steps <= 0
            ? last with { ResidentByteCount = now.PeakResidentByteCount }
            : new RankFigure(
                now.PeakResidentByteCount,
                (now.StepMicroseconds - before.StepMicroseconds) / 1000.0 / steps,
                (now.CollectiveMicroseconds - before.CollectiveMicroseconds) / 1000.0 / steps);
    }
}

/// <summary>One rank.</summary>
/// <param name="ResidentByteCount">The most memory that it ever had.</param>
/// <param name="StepMilliseconds">Mean of a step, the last ones that were run.</param>
/// <param name="WaitMilliseconds">The part of it in collectives, waiting for slower ranks included.</param>
internal readonly record struct RankFigure(long ResidentByteCount, double StepMilliseconds, double WaitMilliseconds);
