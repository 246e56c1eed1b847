using Distributed.Collectives;
using Distributed.Engine.Checkpoints;
using Distributed.Engine.Diagnosis;
using Distributed.Engine.Kernels;
using Distributed.Engine.Model;
using Distributed.Engine.Tests.Model;

namespace Distributed.Engine.Tests.Diagnosis;

public sealed class WorldComparisonTests
{
    private static readonly LlamaConfig Config = new()
    {
        Dimension = 64,
        LayerCount = 4,
        HeadCount = 8,
        KeyValueHeadCount = 4,
        HiddenDimension = 128,
        VocabularySize = 90,
        NormEpsilon = 1e-5f,
    };

    [Theory]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(8)]
    public void FirstDifference_SoundCheckpoint_IsNone(int worldSize)
    {
        using var checkpoint = CheckpointFolder.Open(Repository.DemoCheckpoint, null);

        Assert.Null(WorldComparison.FirstDifference(checkpoint, worldSize, threadCount: 2));
    }

    /// <summary>One weight of rank 1's part is another one: the layer and its half are named.</summary>
    [Theory]
    [InlineData("layers.2.feed_forward.w2.weight", 2, true, 2)]
    [InlineData("layers.1.attention.wo.weight", 1, false, 2)]
    [InlineData("layers.3.attention.wq.weight", 3, false, 3)]
    public void FirstDifference_WrongWeightOnARank_NamesTheLayer(string tensor, int layer, bool isFeedForward, int worldSize)
    {
        using var sound = new RandomCheckpoint(Config, TensorType.Float32, seed: 3);
        using var wrong = new RandomCheckpoint(Config, TensorType.Float32, seed: 3);
        var values = wrong[tensor];
        for (var i = 0; i < values.Length; i++)
        {
            values[i] += i % 3;
        }

        var found = WorldComparison.FirstDifference(worldSize, group => LlamaModel.Create(
            Config,
            (group.WorldSize > 1 && group.Rank == 1 ? wrong : sound).Stored(1, EmbeddingLayout.Whole),
            group,
            ModelWorld.Options(),
            KernelSet.Best));

        Assert.NotNull(found);
        Assert.Equal((layer, isFeedForward), (found.Layer, found.IsFeedForward));
        Assert.Equal(Enumerable.Range(0, worldSize), found.Ranks.Order()); // a sum gives the same wrong result to all
        Assert.True(found.MaxDifference > 1e-3f * found.MaxMagnitude);
    }

    /// <summary>Two backends, here the managed one twice with one weight of the second another: where they part is named, on one rank too.</summary>
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void FirstDifference_AnotherBackend_NamesTheLayer(int worldSize)
    {
        using var sound = new RandomCheckpoint(Config, TensorType.Float32, seed: 3);
        using var wrong = new RandomCheckpoint(Config, TensorType.Float32, seed: 3);
        var values = wrong["layers.1.feed_forward.w3.weight"];
        for (var i = 0; i < values.Length; i++)
        {
            values[i] += i % 3;
        }

        LlamaModel Load(RandomCheckpoint checkpoint, ProcessGroup group)
            => LlamaModel.Create(Config, checkpoint.Stored(1, EmbeddingLayout.Whole), group, ModelWorld.Options(), KernelSet.Best);

        var found = WorldComparison.FirstDifference(worldSize, group => Load(wrong, group), group => Load(sound, group));

        Assert.Equal((1, true), (found?.Layer, found?.IsFeedForward));
        Assert.Equal(Enumerable.Range(0, worldSize), found!.Ranks.Order());
        Assert.Null(WorldComparison.FirstDifference(worldSize, group => Load(sound, group), group => Load(sound, group)));
    }

    /// <summary>Backends need not have the same bits, and a difference within the tolerance is none.</summary>
    [Fact]
    public void FirstDifference_AnotherBackendWithinItsTolerance_IsNone()
    {
        using var sound = new RandomCheckpoint(Config, TensorType.Float32, seed: 3);
        using var near = new RandomCheckpoint(Config, TensorType.Float32, seed: 3);
        near["layers.1.feed_forward.w3.weight"][0] += 1e-5f;

        LlamaModel Load(RandomCheckpoint checkpoint, ProcessGroup group)
            => LlamaModel.Create(Config, checkpoint.Stored(1, EmbeddingLayout.Whole), group, ModelWorld.Options(), KernelSet.Best);

        Assert.Null(WorldComparison.FirstDifference(1, group => Load(near, group), group => Load(sound, group)));
        Assert.NotNull(WorldComparison.FirstDifference(1, group => Load(near, group), group => Load(sound, group), tolerance: 0));
    }

    /// <summary>The step fails on several ranks, not on one: where it begins says more than that it fails.</summary>
    [Fact]
    public void FirstDifference_InfinityOnSeveralRanksAlone_IsADifferenceAndNoFailure()
    {
        using var sound = new RandomCheckpoint(Config, TensorType.Float32, seed: 3);
        using var wrong = new RandomCheckpoint(Config, TensorType.Float32, seed: 3);
        wrong["layers.2.feed_forward.w1.weight"].AsSpan().Fill(float.MaxValue);

        var found = WorldComparison.FirstDifference(2, group => LlamaModel.Create(
            Config, (group.Rank == 1 ? wrong : sound).Stored(1, EmbeddingLayout.Whole), group, ModelWorld.Options(), KernelSet.Best));

        Assert.Equal((2, true), (found?.Layer, found?.IsFeedForward));
    }

    [Fact]
    public void FirstDifference_InfinityOnOneRankToo_IsSaid()
    {
        using var wrong = new RandomCheckpoint(Config, TensorType.Float32, seed: 3);
        wrong["layers.0.attention.wv.weight"].AsSpan().Fill(float.MaxValue);

        Assert.Throws<NonFiniteLogitsException>(() => WorldComparison.FirstDifference(2, group => LlamaModel.Create(
            Config, wrong.Stored(1, EmbeddingLayout.Whole), group, ModelWorld.Options(), KernelSet.Best)));
    }
}
