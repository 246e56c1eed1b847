using Distributed.Engine.Checkpoints;
using Distributed.Engine.Parallel;

namespace Distributed.Engine.Model;

/// <summary>What a <see cref="ComputeBackend"/> is made for.</summary>
/// <param name="Config">The model's shape.</param>
/// <param name="Options">The sizes of its memory, the same on every rank.</param>
/// <param name="Plan">This rank's part: layers, heads, hidden units, token ids.</param>
/// <param name="Tensors">
/// Whole tensors by Meta's names, of the shapes that the config gives; they stay mapped as long as the backend lives. A rank asks for those
/// of its own layers only, for the embedding on the first stage, and for the norm and the output layer on the last.
/// </param>
/// <param name="Collectives">The other ranks of this stage.</param>
/// <param name="Blocks">Which block of the cache holds which part of each slot's sequence; brought up to date before each step.</param>
internal sealed record RankShard(
    LlamaConfig Config,
    LlamaModelOptions Options,
    ShardPlan Plan,
    Func<string, StoredTensor> Tensors,
    StepCollectives Collectives,
    BlockTables Blocks);
