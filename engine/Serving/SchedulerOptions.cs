namespace Distributed.Engine.Serving;

/// <summary>The bounds of the scheduler.</summary>
public sealed record SchedulerOptions
{
    /// <summary>Requests that may wait beside those that run.</summary>
    public int MaxQueuedRequests { get; init; } = 256;

    /// <summary>Tokens of the prompts and answers that may wait together.</summary>
    public long MaxQueuedTokens { get; init; } = 1 << 20;

    /// <summary>
    /// Prompt tokens that a step carries beside those that rows decode, shared out among the prompts: it bounds how long a long prompt delays
    /// the next token of all others. Chunks of 16 tokens were read as fast as chunks of 256 (110M, AVX-512: 76 and 69 % of the peak of multiply-adds), so a small bound costs
    /// little.
    /// </summary>
    public int MaxPrefillTokensPerStep { get; init; } = 32;

    /// <summary>Events that a call holds for its reader. A row whose reader has left as many unread waits, and others run.</summary>
    public int MaxUnreadEvents { get; init; } = 256;

    /// <summary>How often idle followers are told that rank 0 is alive; they wait for 60 s.</summary>
    public TimeSpan KeepAliveInterval { get; init; } = TimeSpan.FromSeconds(15);

    internal void Validate()
    {
        ArgumentOutOfRangeException.ThrowIfNegative(MaxQueuedRequests);
        ArgumentOutOfRangeException.ThrowIfNegative(MaxQueuedTokens);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(MaxPrefillTokensPerStep);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(MaxUnreadEvents);
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(KeepAliveInterval, TimeSpan.Zero);
    }
}
