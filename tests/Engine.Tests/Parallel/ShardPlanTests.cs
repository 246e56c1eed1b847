using Distributed.Engine.Checkpoints;
using Distributed.Engine.Parallel;

namespace Distributed.Engine.Tests.Parallel;

public sealed class ShardPlanTests
{
    private static readonly LlamaConfig Stories = Config(64, 8, 4, 172, 512);

    public static TheoryData<int, int, int, int, int> PublicShapes => new()
    {
        { 4096, 32, 32, 11008, 32000 }, // Llama 2 7B
        { 5120, 40, 40, 13824, 32000 }, // Llama 2 13B
        { 8192, 64, 8, 28672, 32000 }, // Llama 2 70B
        { 2048, 32, 8, 8192, 128256 }, // Llama 3.2 1B
        { 2048, 32, 4, 5632, 32000 }, // TinyLlama
        { 768, 12, 12, 2048, 32000 }, // 110M
        { 896, 14, 2, 4864, 151936 }, // Qwen2.5 0.5B
        { 576, 9, 3, 1536, 49152 }, // SmolLM2 135M
        { 64, 8, 4, 172, 512 }, // stories260k
        { 64, 8, 4, 172, 259 }, // an odd vocabulary
    };

    [Theory]
    [MemberData(nameof(PublicShapes))]
    public void Create_AnyWorldSize_CoversAllOnce(int dimension, int heads, int keyValueHeads, int hidden, int vocabulary)
    {
        var config = Config(dimension, heads, keyValueHeads, hidden, vocabulary);
        var groupSize = heads / keyValueHeads;
        for (var worldSize = 1; worldSize <= 16; worldSize++)
        {
            var plans = Plans(config, worldSize);
            CheckCover(heads, plans.Select(plan => plan.Heads));
            CheckCover(hidden, plans.Select(plan => plan.Hidden));
            CheckCover(vocabulary, plans.Select(plan => plan.Vocabulary));
            Assert.All(plans, plan =>
            {
                // The key-value heads are those that the query heads use, by division, and no others.
                var used = Enumerable.Range(plan.Heads.Start, plan.Heads.Count).Select(head => head / groupSize).Distinct();
                Assert.Equal(used, Enumerable.Range(plan.KeyValueHeads.Start, plan.KeyValueHeads.Count));
                Assert.Equal(plans[0].MaxVocabularyCount, plan.MaxVocabularyCount);
                Assert.Equal(plan.Vocabulary, plans[0].VocabularyOf(plan.Rank));
                Assert.Equal(plan.Rank, plans[0].RankOfToken(plan.Vocabulary.Start));
                Assert.Equal(plan.Rank, plans[0].RankOfToken(plan.Vocabulary.End - 1));
                CheckCover(plan.Vocabulary.Count, Enumerable.Range(0, plan.VocabularyGroupCount).Select(plan.VocabularyGroup));
                Assert.Equal(worldSize is 1 or 2 or 4 or 8, plan.IsCanonical);
            });
            Assert.Equal(plans.Max(plan => plan.Vocabulary.Count), plans[0].MaxVocabularyCount);
        }
    }

    /// <summary>A rank's groups are a whole subtree of the tree over all groups, and the same ones whatever the world size.</summary>
    [Theory]
    [MemberData(nameof(PublicShapes))]
    public void Create_PowersOfTwo_CutBetweenGroups(int dimension, int heads, int keyValueHeads, int hidden, int vocabulary)
    {
        var config = Config(dimension, heads, keyValueHeads, hidden, vocabulary);
        var alone = ShardPlan.Create(config, 1, 0);
        foreach (var worldSize in new[] { 2, 4, 8 })
        {
            var plans = Plans(config, worldSize);
            Check(alone.AttentionGroupCount, heads, plans.Select(plan => (plan.Heads, plan.AttentionGroupCount)));
            Check(alone.HiddenGroupCount, hidden, plans.Select(plan => (plan.Hidden, plan.HiddenGroupCount)));
            Assert.Equal(
                Enumerable.Range(0, 8).Select(alone.VocabularyGroup),
                plans.SelectMany(plan => Enumerable.Range(0, plan.VocabularyGroupCount)
                    .Select(plan.VocabularyGroup)
                    .Select(group => group with { Start = group.Start + plan.Vocabulary.Start })));

            void Check(int groupCount, int count, IEnumerable<(ShardRange Range, int Groups)> parts)
            {
                var length = count / groupCount;
                Assert.Equal(groupCount, parts.Sum(part => part.Groups));
                foreach (var ((range, groups), rank) in parts.Select((part, rank) => (part, rank)))
                {
                    Assert.Equal(groups * length, range.Count);
                    Assert.Equal(groupCount >= worldSize ? groupCount / worldSize : rank % (worldSize / groupCount) == 0 ? 1 : 0, groups);
                }
            }
        }
    }

    [Fact]
    public void Create_Stories_HasGroupsOfItsOddHiddenSize()
    {
        var plan = ShardPlan.Create(Stories, 2, 1);

        Assert.Equal(new ShardRange(4, 4), plan.Heads);
        Assert.Equal(new ShardRange(2, 2), plan.KeyValueHeads);
        Assert.Equal(new ShardRange(86, 86), plan.Hidden);
        Assert.Equal(new ShardRange(256, 256), plan.Vocabulary);
        Assert.Equal((4, 2, 4), (plan.AttentionGroupCount, plan.HiddenGroupCount, plan.VocabularyGroupCount));
    }

    [Fact]
    public void Create_MoreRanksThanKeyValueHeads_RepeatsThem()
    {
        var plans = Plans(Stories, 8);

        Assert.Equal([0, 0, 1, 1, 2, 2, 3, 3], plans.Select(plan => plan.KeyValueHeads.Start));
        Assert.All(plans, plan => Assert.Equal((1, 1), (plan.Heads.Count, plan.KeyValueHeads.Count)));
        Assert.Equal([43, 0, 43, 0, 43, 0, 43, 0], plans.Select(plan => plan.Hidden.Count));
    }

    [Fact]
    public void Create_ThreeRanks_DividesInWholeKeyValueGroupsAndBlocks()
    {
        var plans = Plans(Config(4096, 32, 8, 14336, 128256), 3);

        Assert.Equal([8, 12, 12], plans.Select(plan => plan.Heads.Count));
        Assert.Equal([2, 3, 3], plans.Select(plan => plan.KeyValueHeads.Count));
        Assert.All(plans, plan => Assert.Equal((0, 0), (plan.Hidden.Start % 32, plan.Vocabulary.Start % 32)));
        Assert.All(plans, plan => Assert.Equal((1, 1, 1), (plan.AttentionGroupCount, plan.HiddenGroupCount, plan.VocabularyGroupCount)));
    }

    [Fact]
    public void Create_MoreRanksThanTokenIds_SaysSo()
    {
        var exception = Assert.Throws<CheckpointException>(() => ShardPlan.Create(Config(64, 8, 8, 172, 5), 8, 0));

        Assert.Contains("5 token ids cannot be divided among 8 ranks", exception.Message, StringComparison.Ordinal);
    }

    private static ShardPlan[] Plans(LlamaConfig config, int worldSize)
        => [.. Enumerable.Range(0, worldSize).Select(rank => ShardPlan.Create(config, worldSize, rank))];

    private static void CheckCover(int count, IEnumerable<ShardRange> parts)
    {
        var next = 0;
        foreach (var part in parts)
        {
            Assert.Equal(next, part.Start);
            next += part.Count;
        }

        Assert.Equal(count, next);
    }

    private static LlamaConfig Config(int dimension, int heads, int keyValueHeads, int hidden, int vocabulary)
        => new()
        {
            Dimension = dimension,
            LayerCount = 1,
            HeadCount = heads,
            KeyValueHeadCount = keyValueHeads,
            HiddenDimension = hidden,
            VocabularySize = vocabulary,
            NormEpsilon = 1e-5f,
        };
}
