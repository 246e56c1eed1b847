using Distributed.Engine.Parallel;

namespace Distributed.Engine.Model;

/// <summary>
/// The arithmetic of one rank: it owns this rank's weights and its key-value cache, <see cref="ShardPlan"/>'s part of them, and runs a step's
/// tokens through the layers <see cref="ShardPlan.Layers"/>. On the first stage these begin with the embedding, on the last they end with the
/// norm and this rank's slice of the logits. <see cref="LlamaModel"/> drives it and does all that is not arithmetic: commands, limits, the
/// tables of the cache's blocks, hidden states from stage to stage, answers.
/// </summary>
/// <remarks>
/// <para>A step is <see cref="BeginStep"/>, then <see cref="RunPart"/> for tokens that follow each other from the first to the last, then, on the
/// last stage, <see cref="ComputeLogits"/>. All by one thread, the one that owns the process group.</para>
/// <para>What crosses the seam is host memory, float32. Between these calls everything may stay where the backend likes it: hidden states between
/// layers, the hidden states of all parts until the logits are computed, rows of logits until the next step. Steps allocate nothing once
/// steps of their size have run.</para>
/// <para>Sums over the ranks of a stage, two a layer, go through <see cref="StepCollectives.AllReduce"/> with the layer's number in the whole model:
/// [token, dimension] of the part's tokens, once after attention and once after the feed-forward part. Every rank of the stage calls it for
/// every part, in this order, even if it has no heads or hidden units. A backend whose ranks share a faster way between devices may use that in
/// its place, if all ranks of the stage do.</para>
/// </remarks>
internal abstract class ComputeBackend : IDisposable
{
    /// <summary>A few words for the user on what computes, such as the vector instructions or the name of the device.</summary>
    public abstract string Description { get; }

    /// <summary>Threads that compute, the caller's included.</summary>
    public abstract int ThreadCount { get; }

    /// <summary>Bytes of the matrices of this rank, all of which a token passes through; the embedding is not among them.</summary>
    public abstract long MatrixByteCount { get; }

    /// <summary>Bytes of the weights that are used in place in the mapped files; 0 where all are copies.</summary>
    public abstract long MappedByteCount { get; }

    /// <summary>Bytes allocated beside them, in whichever memory the backend computes: copies of weights, cache, activations.</summary>
    public abstract long OwnedByteCount { get; }

    /// <summary>Called after each half of each layer, on the thread of the step; <see langword="null"/> while nobody compares.</summary>
    public LayerObserver? Observer { get; set; }

    /// <summary>
    /// The first part of this step whose result on this rank alone, before the sum over ranks, was an infinity or NaN, a number of
    /// <see cref="StepStage"/>; <see cref="StepStage.None"/> where all were finite. Read once or twice: when the step's last part has run, and when its logits are done.
    /// </summary>
    public abstract int FirstBadStage { get; }

    /// <summary>
    /// Agrees with the other ranks of the stage on how sums travel, before the first step. Every rank calls it, once and at the same time, whatever
    /// computes there; without it sums go through <see cref="StepCollectives"/>.
    /// </summary>
    /// <returns>What the user should know of it, the end of a line; <see langword="null"/> for nothing.</returns>
    public abstract string? Connect();

    /// <summary>Begins a step that was checked against the limits; every token has its block in <see cref="RankShard.Blocks"/>.</summary>
    /// <param name="command">The step; it stays as it is until the step ends.</param>
    public abstract void BeginStep(StepCommand command);

    /// <summary>Runs the tokens [<paramref name="start"/>, start + count) of the step through this rank's layers; their keys and values enter the cache.</summary>
    /// <param name="start">The first token of the part; the end of the part before.</param>
    /// <param name="count">Tokens, at least 1.</param>
    /// <param name="input">[token, dimension]: hidden states from the stage before; empty on the first stage, which looks its tokens up.</param>
    /// <param name="output">[token, dimension]: receives the hidden states for the stage that follows; empty on the last stage, which keeps its own. May be the same memory as <paramref name="input"/>.</param>
    public abstract void RunPart(int start, int count, ReadOnlySpan<float> input, Span<float> output);

    /// <summary>
    /// On the last stage, when all parts have run: norm and this rank's slice of the logits of every output of the step. Rows of outputs whose
    /// detail is <see cref="LogitsDetail.Candidates"/> or more, at most MaxBatchSize, are kept until the next step.
    /// </summary>
    /// <param name="pieces">Receives what rank 0 needs of each output; <see cref="LogitsSummary"/> computes it from a row in host memory.</param>
    public abstract void ComputeLogits(StepPieces pieces);

    /// <summary>On the last stage: a row that the last step kept.</summary>
    /// <param name="output">The output that the row belongs to, one whose row was to be kept.</param>
    /// <returns>[longest slice of any rank], this rank's slice first; valid until the next call.</returns>
    public abstract ReadOnlySpan<float> KeptRow(int output);

    /// <summary>Frees what the backend owns.</summary>
    public abstract void Dispose();
}
