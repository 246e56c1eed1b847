using Distributed.Engine.Generation;

namespace Distributed.Engine.Serving;

/// <summary>What a scheduler has done so far. Its owner locks.</summary>
internal sealed class SchedulerCounters
{
    private long _finished;
    private long _generatedTokens;
    private long _steps;
    private long _stepTokens;
    private TimeSpan _stepTime;
    private TimeSpan _schedulingTime;

    public long Accepted { get; set; }

    public long Cancelled { get; set; }

    public long Failed { get; set; }

    public long Refused { get; set; }

    public long Preemptions { get; set; }

    public long PromptTokens { get; set; }

    public long CachedPromptTokens { get; set; }

    /// <summary>A request has its end without a step that brought it: it had nothing to run, or its reader has all it wants.</summary>
    public void NoteFinished() => _finished++;

    /// <summary>A step has ended.</summary>
    /// <param name="parts">What it carried.</param>
    /// <param name="generatedTokens">Tokens that it added to answers.</param>
    /// <param name="modelTime">Its time in the model.</param>
    /// <param name="schedulingTime">The time to plan it and to read what it gave.</param>
    public void NoteStep(
        IReadOnlyList<(Sequence Sequence, int TokenCount)> parts, long generatedTokens, TimeSpan modelTime, TimeSpan schedulingTime)
    {
        _steps++;
        _stepTime += modelTime;
        _schedulingTime += schedulingTime;
        _generatedTokens += generatedTokens;
        foreach (var (sequence, tokenCount) in parts)
        {
            _stepTokens += tokenCount;
            _finished += sequence.IsFinished ? 1 : 0;
        }
    }

    /// <summary>All of it; the state that the scheduler adds is left at zero.</summary>
    public SchedulerSnapshot ToSnapshot() => new()
    {
        WaitingRequests = 0,
        WaitingTokens = 0,
        RunningRequests = 0,
        StalledRequests = 0,
        SlotCount = 0,
        UsedBlocks = 0,
        CachedBlocks = 0,
        TotalBlocks = 0,
        TimeWithoutProgress = TimeSpan.Zero,
        IsRunning = false,
        IsDraining = false,
        AcceptedRequests = Accepted,
        FinishedRequests = _finished,
        CancelledRequests = Cancelled,
        FailedRequests = Failed,
        RefusedRequests = Refused,
        Preemptions = Preemptions,
        PromptTokens = PromptTokens,
        CachedPromptTokens = CachedPromptTokens,
        GeneratedTokens = _generatedTokens,
        Steps = _steps,
        StepTokens = _stepTokens,
        StepTime = _stepTime,
        SchedulingTime = _schedulingTime,
    };
}
