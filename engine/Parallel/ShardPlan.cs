using Distributed.Engine.Checkpoints;

namespace Distributed.Engine.Parallel;

/// <summary>A contiguous part of something that the ranks divide among them.</summary>
/// <param name="Start">The first.</param>
/// <param name="Count">How many.</param>
public readonly record struct ShardRange(int Start, int Count);

/// <summary>
/// Which part of every tensor a rank has, and into which canonical groups its part of each divided sum falls. Pure arithmetic, the same
/// on every rank.
/// </summary>
/// <remarks>
/// Query, key and value heads, the hidden units of the feed-forward layer and the vocabulary are divided (Megatron-LM: Shoeybi et al.,
/// arXiv:1909.08053). Sums over what is divided are cut into <em>canonical groups</em>: 8, or the largest smaller power of two that divides
/// the heads, the hidden units or the vocabulary. A world size that divides the groups cuts between two of them, so the tree over the
/// groups is the same whether one rank walks it or several with an all-reduce on top.
/// </remarks>
public sealed class ShardPlan
{
    private const int MaxGroupCount = 8;

    private ShardPlan(LlamaConfig config, int worldSize, int rank)
    {
        WorldSize = worldSize;
        Rank = rank;
        Heads = Part(config.HeadCount);
        KeyValueHeads = Part(config.KeyValueHeadCount);
        Hidden = Part(config.HiddenDimension);
        Vocabulary = Part(config.VocabularySize);
        EmbeddingColumns = Part(config.Dimension);
        var attentionGroups = GroupCount(config.HeadCount);
        var hiddenGroups = GroupCount(config.HiddenDimension);
        var vocabularyGroups = GroupCount(config.VocabularySize);
        IsCanonical = attentionGroups % worldSize == 0 && hiddenGroups % worldSize == 0 && vocabularyGroups % worldSize == 0;
        AttentionGroupCount = IsCanonical ? attentionGroups / worldSize : 1;
        HiddenGroupCount = IsCanonical ? hiddenGroups / worldSize : 1;
        VocabularyGroupCount = IsCanonical ? vocabularyGroups / worldSize : 1;
    }

    /// <summary>The number of ranks.</summary>
    public int WorldSize { get; }

    /// <summary>The rank that this plan is for.</summary>
    public int Rank { get; }

    /// <summary>
    /// Whether results have the same bits as those of one rank. A world size that does not divide the canonical groups, such as 3 or 16,
    /// gives results within rounding only.
    /// </summary>
    public bool IsCanonical { get; }

    /// <summary>Query heads: rows of wq, columns of wo.</summary>
    public ShardRange Heads { get; }

    /// <summary>Key and value heads: rows of wk and wv.</summary>
    public ShardRange KeyValueHeads { get; }

    /// <summary>Hidden units: rows of w1 and w3, columns of w2.</summary>
    public ShardRange Hidden { get; }

    /// <summary>Token ids: rows of the output, and of the embedding where that is split by vocabulary.</summary>
    public ShardRange Vocabulary { get; }

    /// <summary>Columns of the embedding where that is split by dimension.</summary>
    public ShardRange EmbeddingColumns { get; }

    /// <summary>Canonical groups of this rank's columns of wo.</summary>
    public int AttentionGroupCount { get; }

    /// <summary>Canonical groups of this rank's columns of w2.</summary>
    public int HiddenGroupCount { get; }

    /// <summary>Canonical groups of this rank's part of the vocabulary.</summary>
    public int VocabularyGroupCount { get; }

    /// <summary>The plan of a rank.</summary>
    /// <exception cref="CheckpointException">
    /// <paramref name="worldSize"/> does not divide something that must be divided; the message names it and the world sizes that do.
    /// </exception>
    public static ShardPlan Create(LlamaConfig config, int worldSize, int rank)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(worldSize);
        ArgumentOutOfRangeException.ThrowIfNegative(rank);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(rank, worldSize);
        (string Name, int Count)[] divided =
        [
            ("key-value heads", config.KeyValueHeadCount),
            ("attention heads", config.HeadCount),
            ("hidden units", config.HiddenDimension),
            ("token ids", config.VocabularySize),
            ("embedding columns", config.Dimension),
        ];
        foreach (var (name, count) in divided)
        {
            if (count % worldSize != 0)
            {
                var possible = Enumerable.Range(1, config.KeyValueHeadCount).Where(size => divided.All(part => part.Count % size == 0));
                throw new CheckpointException(
                    $"The model's {count} {name} cannot be divided evenly among {worldSize} ranks; " +
                    $"use a world size of {string.Join(", ", possible)}.");
            }
        }

        return new ShardPlan(config, worldSize, rank);
    }

    private static int GroupCount(int count) => Math.Min(MaxGroupCount, count & -count);

    private ShardRange Part(int count) => new(count / WorldSize * Rank, count / WorldSize);
}
