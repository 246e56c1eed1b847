using System.Collections.Immutable;
using Distributed.Engine.Kernels;
using Distributed.Engine.Parallel;
using Distributed.Engine.Weights;

namespace Distributed.Engine.Model;

/// <summary>The sizes that a model's memory is allocated for, the same on every rank.</summary>
public sealed record LlamaModelOptions
{
    /// <summary>Positions of the longest sequence, prompt and generated tokens together.</summary>
    public required int MaxSequenceLength { get; init; }

    /// <summary>Sequences that are in the key-value cache at once: slots 0 to MaxBatchSize - 1.</summary>
    public required int MaxBatchSize { get; init; }

    /// <summary>
    /// Positions that the key-value cache holds for all sequences together, rounded up to whole blocks of 64; <see langword="null"/> for as many as MaxBatchSize
    /// sequences of MaxSequenceLength have. With fewer a caller must not let more sequences grow than fit.
    /// </summary>
    public int? CacheTokenCount { get; init; }

    /// <summary>What keys and values are kept as.</summary>
    public CacheFormat CacheFormat { get; init; }

    /// <summary>Blocks of the key-value cache.</summary>
    internal int CacheBlockCount
        => CacheTokenCount is { } count ? KeyValueCache.BlocksFor(count) : checked(MaxBatchSize * KeyValueCache.BlocksFor(MaxSequenceLength));

    /// <summary>Rows of MaxSequenceLength that the cache holds at once, at most MaxBatchSize.</summary>
    public int WholeRowCount => Math.Min(MaxBatchSize, CacheBlockCount / KeyValueCache.BlocksFor(MaxSequenceLength));

    /// <summary>Tokens of the largest step; longer prompts are cut into chunks by the caller, which changes no bit of the result.</summary>
    public int MaxTokensPerStep { get; init; } = 512;

    /// <summary>Threads that compute on this rank, the caller's included.</summary>
    public required int ThreadCount { get; init; }

    /// <summary>
    /// The first of ThreadCount processors, counted among those that this process may use, that belong to this rank: it is left to the caller's
    /// thread, and each other compute thread is bound to one of those that follow. <see langword="null"/>, and a system that cannot bind,
    /// leaves the choice to the system. Bind only where the ranks of a host together have at most as many threads as it has cores.
    /// </summary>
    public int? FirstProcessor { get; init; }

    /// <summary>What the weights are computed with.</summary>
    public WeightFormat WeightFormat { get; init; }

    /// <summary>
    /// What products of weights stored as bfloat16 are computed from. <see cref="Kernels.MatmulPrecision.Medium"/> is for such weights alone, in place, and for the
    /// managed backend.
    /// </summary>
    public MatmulPrecision MatmulPrecision { get; init; }

    /// <summary>Pipeline stages and the ranks of each; <see langword="null"/> for one stage of all ranks.</summary>
    public ModelMesh? Mesh { get; init; }

    /// <summary>[stage], layers; default for stages of about equal bytes.</summary>
    public ImmutableArray<int> LayersPerStage { get; init; }

    /// <summary>
    /// The most parts into which a step is cut so that stages overlap, each of 16 tokens at least; <see langword="null"/> for eight a stage. Changes no bit of the
    /// result.
    /// </summary>
    public int? MicroBatchCount { get; init; }

    /// <summary>The Torch backend and how it computes; <see langword="null"/> for the managed one. Its matrices have its own type, not <see cref="WeightFormat"/>.</summary>
    public TorchOptions? Torch { get; init; }

    internal void Validate()
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(MicroBatchCount ?? 1, nameof(MicroBatchCount));
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(MaxSequenceLength);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(MaxBatchSize);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(CacheTokenCount ?? 1, nameof(CacheTokenCount));
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(MaxTokensPerStep);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(ThreadCount);
        ArgumentOutOfRangeException.ThrowIfNegative(FirstProcessor ?? 0, nameof(FirstProcessor));
    }
}
