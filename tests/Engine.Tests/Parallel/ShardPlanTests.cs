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
        { 64, 8, 4, 172, 512 }, // stories260k
    };

    [Theory]
    [MemberData(nameof(PublicShapes))]
    public void Create_EveryDividingPowerOfTwo_CoversAllOnceAndCutsBetweenGroups(int dimension, int heads, int keyValueHeads, int hidden, int vocabulary)
    {
        var config = Config(dimension, heads, keyValueHeads, hidden, vocabulary);
        var alone = ShardPlan.Create(config, 1, 0);
        foreach (var worldSize in new[] { 1, 2, 4, 8 }.Where(size => keyValueHeads % size == 0 && hidden % size == 0))
        {
            var plans = Enumerable.Range(0, worldSize).Select(rank => ShardPlan.Create(config, worldSize, rank)).ToArray();
            CheckCover(heads, plans.Select(plan => plan.Heads));
            CheckCover(keyValueHeads, plans.Select(plan => plan.KeyValueHeads));
            CheckCover(hidden, plans.Select(plan => plan.Hidden));
            CheckCover(vocabulary, plans.Select(plan => plan.Vocabulary));
            CheckCover(dimension, plans.Select(plan => plan.EmbeddingColumns));
            Assert.All(plans, plan =>
            {
                Assert.True(plan.IsCanonical);
                Assert.Equal(alone.AttentionGroupCount, worldSize * plan.AttentionGroupCount);
                Assert.Equal(alone.HiddenGroupCount, worldSize * plan.HiddenGroupCount);
                Assert.Equal(alone.VocabularyGroupCount, worldSize * plan.VocabularyGroupCount);

                // A rank's query heads use its own key-value heads.
                Assert.Equal(plan.KeyValueHeads.Start, plan.Heads.Start / (heads / keyValueHeads));
            });
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
        Assert.Equal(new ShardRange(32, 32), plan.EmbeddingColumns);
        Assert.Equal((4, 2, 4), (plan.AttentionGroupCount, plan.HiddenGroupCount, plan.VocabularyGroupCount));
    }

    [Theory]
    [InlineData(3)]
    [InlineData(16)]
    public void Create_WorldSizeThatCutsThroughGroups_SaysSo(int worldSize)
    {
        var config = Config(96 * 16, 48, 48, 48 * 43, 480);

        var plan = ShardPlan.Create(config, worldSize, worldSize - 1);

        Assert.False(plan.IsCanonical);
        Assert.Equal((1, 1, 1), (plan.AttentionGroupCount, plan.HiddenGroupCount, plan.VocabularyGroupCount));
        Assert.Equal(48 - (48 / worldSize), plan.Heads.Start);
    }

    [Theory]
    [InlineData(3, "4 key-value heads", "1, 2, 4.")]
    [InlineData(8, "4 key-value heads", "1, 2, 4.")]
    public void Create_WorldSizeThatDoesNotDivide_NamesTheRuleAndThePossibleSizes(int worldSize, string what, string possible)
    {
        var exception = Assert.Throws<CheckpointException>(() => ShardPlan.Create(Stories, worldSize, 0));

        Assert.Contains(what, exception.Message, StringComparison.Ordinal);
        Assert.EndsWith(possible, exception.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Create_HiddenUnitsThatDoNotDivide_AreNamed()
    {
        var exception = Assert.Throws<CheckpointException>(() => ShardPlan.Create(Config(64, 8, 8, 172, 512), 8, 0));

        Assert.Contains("172 hidden units", exception.Message, StringComparison.Ordinal);
        Assert.EndsWith("1, 2, 4.", exception.Message, StringComparison.Ordinal);
    }

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
