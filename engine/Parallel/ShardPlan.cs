using System.Numerics;
using Distributed.Engine.Checkpoints;

namespace Distributed.Engine.Parallel;

/// <summary>A contiguous part of something that the ranks divide among them.</summary>
/// <param name="Start">The first.</param>
/// <param name="Count">How many; 0 for a rank that has none.</param>
public readonly record struct ShardRange(int Start, int Count)
{
    /// <summary>The first one behind it.</summary>
    public int End => Start + Count;
}

/// <summary>
/// Which part of every tensor a rank has, and into which canonical groups its part of each divided sum falls. Pure arithmetic, the same
/// on every rank, for any world size and apart from how many files the weights lie in.
/// </summary>
/// <remarks>
/// <para>Query heads, the hidden units of the feed-forward layer and the vocabulary are divided (Megatron-LM: Shoeybi et al.,
/// arXiv:1909.08053); a rank has the key-value heads that its query heads use, so two ranks may have the same one. Sums over what is
/// divided are cut into <em>canonical groups</em>: 8, or the largest smaller power of two that divides the heads or the hidden units.</para>
/// <para>World sizes 1, 2, 4 and 8 deal whole groups, so that the tree over the groups is the same whether one rank walks it or several
/// with an all-reduce on top. Where there are fewer groups than ranks, every second, fourth or eighth rank has one and the others have
/// nothing, which keeps the tree too. Other world sizes divide as evenly as whole key-value groups, and blocks of hidden units, allow.</para>
/// </remarks>
public sealed class ShardPlan
{
    // Hidden units and token ids of other world sizes are dealt in blocks of the kernels, as far as there are enough.
    private const int BlockLength = 32;

    private readonly int[] _vocabularyStarts; // [rank or end]
    private readonly int[] _groupStarts; // [canonical group of this rank's vocabulary, or end]

    private ShardPlan(LlamaConfig config, int worldSize, int rank, ShardRange layers)
    {
        WorldSize = worldSize;
        Rank = rank;
        Layers = layers;
        LayerCount = config.LayerCount;
        IsCanonical = BitOperations.IsPow2(worldSize) && worldSize <= LlamaConfig.MaxGroupCount;
        if (IsCanonical)
        {
            (Heads, AttentionGroupCount) = WholeGroups(config.HeadCount);
            (Hidden, HiddenGroupCount) = WholeGroups(config.HiddenDimension);
        }
        else
        {
            (Heads, Hidden) = (EvenHeads(config), EvenBlocks(config.HiddenDimension, rank));
            (AttentionGroupCount, HiddenGroupCount) = (Math.Min(Heads.Count, 1), Math.Min(Hidden.Count, 1));
        }

        var groupSize = config.HeadCount / config.KeyValueHeadCount;
        var firstKeyValueHead = Heads.Start / groupSize;
        KeyValueHeads = Heads.Count == 0
            ? new ShardRange(firstKeyValueHead, 0)
            : new ShardRange(firstKeyValueHead, ((Heads.End - 1) / groupSize) - firstKeyValueHead + 1);
        _groupStarts = VocabularyGroups(config.VocabularySize, rank);
        _vocabularyStarts =
        [
            .. Enumerable.Range(0, worldSize).Select(other => VocabularyGroups(config.VocabularySize, other)[0]), config.VocabularySize,
        ];
        MaxVocabularyCount = Enumerable.Range(0, worldSize).Max(other => VocabularyOf(other).Count);
    }

    /// <summary>The number of ranks that divide each layer among them: those of a stage.</summary>
    public int WorldSize { get; }

    /// <summary>The rank that this plan is for, counted within its stage.</summary>
    public int Rank { get; }

    /// <summary>The stage's layers.</summary>
    public ShardRange Layers { get; }

    /// <summary>Layers of the whole model.</summary>
    public int LayerCount { get; }

    /// <summary>Whether the stage begins with the embedding.</summary>
    public bool IsFirstStage => Layers.Start == 0;

    /// <summary>Whether the stage ends with the norm and the logits.</summary>
    public bool IsLastStage => Layers.End == LayerCount;

    /// <summary>
    /// Whether results have the same bits as those of one rank: with 1, 2, 4 and 8 ranks. Other world sizes, such as 3 or 16, give
    /// results within rounding only.
    /// </summary>
    public bool IsCanonical { get; }

    /// <summary>Query heads: rows of wq, columns of wo.</summary>
    public ShardRange Heads { get; }

    /// <summary>Key and value heads that this rank's query heads use: rows of wk and wv.</summary>
    public ShardRange KeyValueHeads { get; }

    /// <summary>Hidden units: rows of w1 and w3, columns of w2.</summary>
    public ShardRange Hidden { get; }

    /// <summary>Token ids: rows of the output.</summary>
    public ShardRange Vocabulary => VocabularyOf(Rank);

    /// <summary>The largest number of token ids of a rank.</summary>
    public int MaxVocabularyCount { get; }

    /// <summary>Canonical groups of this rank's columns of wo.</summary>
    public int AttentionGroupCount { get; }

    /// <summary>Canonical groups of this rank's columns of w2.</summary>
    public int HiddenGroupCount { get; }

    /// <summary>Canonical groups of this rank's part of the vocabulary, the same number on every rank.</summary>
    public int VocabularyGroupCount => _groupStarts.Length - 1;

    /// <summary>The plan of a rank.</summary>
    /// <param name="config">The model's shape.</param>
    /// <param name="worldSize">The number of ranks of a stage.</param>
    /// <param name="rank">The rank within its stage.</param>
    /// <param name="layers">The stage's layers; <see langword="null"/> for all.</param>
    /// <exception cref="CheckpointException">There are more ranks than token ids.</exception>
    public static ShardPlan Create(LlamaConfig config, int worldSize, int rank, ShardRange? layers = null)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(worldSize);
        ArgumentOutOfRangeException.ThrowIfNegative(rank);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(rank, worldSize);
        return worldSize <= config.VocabularySize
            ? new ShardPlan(config, worldSize, rank, layers ?? new ShardRange(0, config.LayerCount))
            : throw new CheckpointException(
                $"The model's {config.VocabularySize} token ids cannot be divided among {worldSize} ranks; start fewer ranks.");
    }

    /// <summary>The token ids of any rank.</summary>
    public ShardRange VocabularyOf(int rank)
        => new(_vocabularyStarts[rank], _vocabularyStarts[rank + 1] - _vocabularyStarts[rank]);

    /// <summary>The rank that has a token's row of the output.</summary>
    public int RankOfToken(int tokenId)
    {
        var found = Array.BinarySearch(_vocabularyStarts, tokenId);
        return found >= 0 ? found : ~found - 1;
    }

    /// <summary>A canonical group of this rank's part of the vocabulary, counted from the start of that part.</summary>
    public ShardRange VocabularyGroup(int group)
        => new(_groupStarts[group] - _groupStarts[0], _groupStarts[group + 1] - _groupStarts[group]);

    private static int Share(int count, int parts, int part) => (int)((long)count * part / parts);

    // Of 8 groups and 4 ranks rank 1 has groups 2 and 3; of 2 groups and 4 ranks it has none and rank 2 has group 1.
    private (ShardRange Range, int GroupCount) WholeGroups(int count)
    {
        var groups = LlamaConfig.CanonicalGroupCount(count);
        var (first, end) = (FirstGroup(Rank), FirstGroup(Rank + 1));
        return (new ShardRange(count / groups * first, count / groups * (end - first)), end - first);

        int FirstGroup(int rank) => ((groups * rank) + WorldSize - 1) / WorldSize;
    }

    // Whole key-value groups as long as every rank gets one, single query heads beyond.
    private ShardRange EvenHeads(LlamaConfig config)
    {
        var unit = WorldSize <= config.KeyValueHeadCount ? config.HeadCount / config.KeyValueHeadCount : 1;
        var start = Share(config.HeadCount / unit, WorldSize, Rank) * unit;
        return new ShardRange(start, (Share(config.HeadCount / unit, WorldSize, Rank + 1) * unit) - start);
    }

    private ShardRange EvenBlocks(int count, int rank)
    {
        var unit = count >= WorldSize * BlockLength ? BlockLength : 1;
        var (start, end) = (Start(rank), Start(rank + 1));
        return new ShardRange(start, end - start);

        int Start(int part) => part == WorldSize ? count : Share(count / unit, WorldSize, part) * unit;
    }

    // Logits are whole sums, so the groups of the vocabulary need not be equal: any number of token ids makes 8.
    private int[] VocabularyGroups(int count, int rank)
    {
        if (!IsCanonical)
        {
            var range = EvenBlocks(count, rank);
            return [range.Start, range.End];
        }

        var groups = Math.Min(LlamaConfig.MaxGroupCount, 1 << BitOperations.Log2((uint)count));
        var first = groups / WorldSize * rank;
        return [.. Enumerable.Range(first, (groups / WorldSize) + 1).Select(group => Share(count, groups, group))];
    }
}
