namespace Distributed.Engine.Serving;

/// <summary>The scheduler's state at one moment, and what it has done since it was made.</summary>
public sealed record SchedulerSnapshot
{
    /// <summary>Requests that wait for a slot.</summary>
    public required int WaitingRequests { get; init; }

    /// <summary>Tokens of their prompts and answers.</summary>
    public required long WaitingTokens { get; init; }

    /// <summary>Requests in slots.</summary>
    public required int RunningRequests { get; init; }

    /// <summary>Of these, those that wait for their readers.</summary>
    public required int StalledRequests { get; init; }

    /// <summary>Slots: requests that can run at once.</summary>
    public required int SlotCount { get; init; }

    /// <summary>Blocks of the key-value cache that running requests hold.</summary>
    public required int UsedBlocks { get; init; }

    /// <summary>Blocks that no request holds and that are kept for their prefixes.</summary>
    public required int CachedBlocks { get; init; }

    /// <summary>All blocks.</summary>
    public required int TotalBlocks { get; init; }

    /// <summary>Requests taken so far.</summary>
    public required long AcceptedRequests { get; init; }

    /// <summary>Requests that reached their end.</summary>
    public required long FinishedRequests { get; init; }

    /// <summary>Requests whose reader gave them up.</summary>
    public required long CancelledRequests { get; init; }

    /// <summary>Requests that ended with <see cref="InferenceFailedException"/>.</summary>
    public required long FailedRequests { get; init; }

    /// <summary>Requests that were refused with <see cref="QueueFullException"/>.</summary>
    public required long RefusedRequests { get; init; }

    /// <summary>How often a running request had to give up its place and was computed again later.</summary>
    public required long Preemptions { get; init; }

    /// <summary>Tokens of prompts, those of reused prefixes included.</summary>
    public required long PromptTokens { get; init; }

    /// <summary>Tokens of prompts that were not computed because their prefixes were in the cache.</summary>
    public required long CachedPromptTokens { get; init; }

    /// <summary>Tokens generated.</summary>
    public required long GeneratedTokens { get; init; }

    /// <summary>Steps run.</summary>
    public required long Steps { get; init; }

    /// <summary>Tokens run in steps.</summary>
    public required long StepTokens { get; init; }

    /// <summary>Time of all steps, in the model and its collectives.</summary>
    public required TimeSpan StepTime { get; init; }

    /// <summary>Time that the loop spent beside the model while there was work.</summary>
    public required TimeSpan SchedulingTime { get; init; }

    /// <summary>How long there has been work to do without a step coming to its end; zero while nothing waits for the model.</summary>
    public required TimeSpan TimeWithoutProgress { get; init; }

    /// <summary>Whether the loop runs.</summary>
    public required bool IsRunning { get; init; }

    /// <summary>Whether no more requests are taken.</summary>
    public required bool IsDraining { get; init; }
}
