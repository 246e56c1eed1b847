namespace Distributed.Engine.Model;

/// <summary>The sizes that a model's memory is allocated for, the same on every rank.</summary>
public sealed record LlamaModelOptions
{
    /// <summary>Positions of the longest sequence, prompt and generated tokens together.</summary>
    public required int MaxSequenceLength { get; init; }

    /// <summary>Sequences that are in the key-value cache at once: slots 0 to MaxBatchSize - 1.</summary>
    public required int MaxBatchSize { get; init; }

    /// <summary>Tokens of the largest step; longer prompts are cut into chunks by the caller, which changes no bit of the result.</summary>
    public int MaxTokensPerStep { get; init; } = 512;

    /// <summary>Threads that compute on this rank, the caller's included.</summary>
    public required int ThreadCount { get; init; }

    /// <summary>
    /// The first of ThreadCount processors to which the compute threads other than the caller's are bound, one each, counted among
    /// those that this process may use; <see langword="null"/> leaves the choice to the system, as do systems that cannot bind. Bind only
    /// where the ranks of a host together have at most as many threads as it has cores.
    /// </summary>
    public int? FirstProcessor { get; init; }

    internal void Validate()
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(MaxSequenceLength);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(MaxBatchSize);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(MaxTokensPerStep);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(ThreadCount);
    }
}
