using Distributed.Engine.Checkpoints;
using Distributed.Engine.Kernels;
using Distributed.Engine.Weights;

namespace Distributed.Engine.Tests.Model;

/// <summary>The promise of design.md: the same bits for every world size, batch, chunking, number of threads and instruction set.</summary>
public sealed class CanonicalTests
{
    // Nothing here is a multiple of 16 or 32: heads of 6, groups of 43 hidden units and of 33 token ids.
    private static readonly LlamaConfig Odd = new()
    {
        Dimension = 96,
        LayerCount = 2,
        HeadCount = 16,
        KeyValueHeadCount = 8,
        HiddenDimension = 344,
        VocabularySize = 264,
        NormEpsilon = 1e-5f,
    };

    // Twelve heads make four canonical groups in the attention, 6 x 32 hidden units eight in the feed-forward part.
    private static readonly LlamaConfig TwelveHeads = new()
    {
        Dimension = 384,
        LayerCount = 2,
        HeadCount = 12,
        KeyValueHeadCount = 4,
        HiddenDimension = 192,
        VocabularySize = 96,
        NormEpsilon = 1e-6f,
        RopeTheta = 500000f,
        RopeScalingFactor = 8f,
    };

    [Theory]
    [InlineData(TensorType.Float32, WeightFormat.Stored)]
    [InlineData(TensorType.BFloat16, WeightFormat.Stored)]
    [InlineData(TensorType.Float16, WeightFormat.Stored)]
    [InlineData(TensorType.BFloat16, WeightFormat.Int8)]
    [InlineData(TensorType.Float32, WeightFormat.Int4)]
    [InlineData(TensorType.BFloat16, WeightFormat.Stored, CacheFormat.BFloat16)]
    [InlineData(TensorType.BFloat16, WeightFormat.Stored, CacheFormat.Int8)]
    [InlineData(TensorType.BFloat16, WeightFormat.Stored, CacheFormat.Float32, MatmulPrecision.Medium)]
    public void Run_AnyWay_GivesTheSameBits(
        TensorType type, WeightFormat format, CacheFormat cache = CacheFormat.Float32, MatmulPrecision precision = MatmulPrecision.Highest)
    {
        using var checkpoint = new RandomCheckpoint(Odd, type, seed: 1);
        var script = StepScript.Random(2, Odd.VocabularySize, 100, 70, 3);
        var expected = Run(checkpoint, 1, EmbeddingLayout.Whole, threads: 1, KernelSet.Best, script, chunk: 1, batch: [0], format, cache, precision);
        Assert.NotEmpty(expected);

        void Check(
            int worldSize = 1, EmbeddingLayout layout = EmbeddingLayout.Whole, int threads = 1, KernelSet? kernels = null, int chunk = 100, params int[] batch)
            => Assert.Equal(expected, Run(checkpoint, worldSize, layout, threads, kernels ?? KernelSet.Best, script, chunk, batch, format, cache, precision));

        Check(batch: [0]);
        Check(chunk: 7, batch: [0]);
        Check(chunk: 64, batch: [1, 0]);
        Check(chunk: 13, batch: [2, 1, 0]);
        Check(threads: 2, chunk: 33, batch: [0]);
        Check(threads: 3, batch: [0, 1]);
        foreach (var kernels in KernelSet.Supported.Skip(1))
        {
            Check(kernels: kernels, batch: [0]);
        }

        Check(2, EmbeddingLayout.SplitByDimension, batch: [0]);
        Check(2, EmbeddingLayout.SplitByVocabulary, chunk: 31, batch: [1, 0]);
        Check(4, EmbeddingLayout.SplitByDimension, threads: 2, chunk: 50, batch: [0]);
        Check(4, EmbeddingLayout.SplitByVocabulary, batch: [2, 0], kernels: KernelSet.Supported[^1]);
        Check(8, EmbeddingLayout.SplitByDimension, batch: [0]);
        Check(8, EmbeddingLayout.SplitByVocabulary, chunk: 60, batch: [0, 1]);
    }

    [Fact]
    public void Run_HeadsThatMakeFewGroups_GivesTheSameBits()
    {
        using var checkpoint = new RandomCheckpoint(TwelveHeads, TensorType.BFloat16, seed: 3);
        var script = StepScript.Random(4, TwelveHeads.VocabularySize, 70);
        var expected = Run(checkpoint, 1, EmbeddingLayout.Whole, 1, KernelSet.Best, script, chunk: 70, batch: [0]);

        Assert.Equal(expected, Run(checkpoint, 2, EmbeddingLayout.SplitByDimension, 1, KernelSet.Best, script, chunk: 9, batch: [0]));
        Assert.Equal(expected, Run(checkpoint, 4, EmbeddingLayout.SplitByVocabulary, 1, KernelSet.Best, script, chunk: 70, batch: [0]));
    }

    /// <summary>With <see cref="MatmulPrecision.Medium"/> other bits than with the default, and only where weights are bfloat16 and in place.</summary>
    [Fact]
    public void Run_MediumPrecision_IsItsOwnArithmetic()
    {
        using var checkpoint = new RandomCheckpoint(TwelveHeads, TensorType.BFloat16, seed: 3);
        using var halves = new RandomCheckpoint(TwelveHeads, TensorType.Float16, seed: 3);
        var script = StepScript.Random(4, TwelveHeads.VocabularySize, 20);
        var highest = Run(checkpoint, 1, EmbeddingLayout.Whole, 1, KernelSet.Best, script, chunk: 20, batch: [0]);
        var medium = Run(checkpoint, 1, EmbeddingLayout.Whole, 1, KernelSet.Best, script, chunk: 20, batch: [0], precision: MatmulPrecision.Medium);

        Assert.NotEqual(highest, medium);
        for (var i = 1; i <= TwelveHeads.VocabularySize; i++)
        {
            Assert.Equal(BitConverter.Int32BitsToSingle(highest[^i]), BitConverter.Int32BitsToSingle(medium[^i]), 0.1f);
        }

        var refused = Assert.Throws<CheckpointException>(
            () => Run(halves, 1, EmbeddingLayout.Whole, 1, KernelSet.Best, script, chunk: 20, batch: [0], precision: MatmulPrecision.Medium));
        Assert.Equal("--matmul-precision medium is for weights in bfloat16, and this checkpoint's are float16; leave it out.", refused.Message);
        refused = Assert.Throws<CheckpointException>(() => Run(
            checkpoint, 1, EmbeddingLayout.Whole, 1, KernelSet.Best, script, chunk: 20, batch: [0], WeightFormat.Int8, precision: MatmulPrecision.Medium));
        Assert.Equal("--matmul-precision medium is for weights in bfloat16, and --dtype int8 makes them int8; leave one of them out.", refused.Message);
    }

    [Fact]
    public void Run_WorldOfThree_IsWithinRoundingAndSaysSo()
    {
        var config = Odd with { HeadCount = 12, KeyValueHeadCount = 6, HiddenDimension = 342 };
        using var checkpoint = new RandomCheckpoint(config, TensorType.Float32, seed: 5);
        var script = StepScript.Random(6, config.VocabularySize, 40);
        var expected = Run(checkpoint, 1, EmbeddingLayout.Whole, 1, KernelSet.Best, script, chunk: 40, batch: [0]);
        using var world = ModelWorld.Create(checkpoint, 3, EmbeddingLayout.SplitByDimension, ModelWorld.Options());

        var actual = script.Run(world.Leader, 0, 40, 0);

        Assert.False(world.Model.IsCanonical);
        var row = config.VocabularySize;
        for (var i = 1; i <= row; i++)
        {
            Assert.Equal(BitConverter.Int32BitsToSingle(expected[^i]), BitConverter.Int32BitsToSingle(actual[^i]), 1e-4f);
        }
    }

    [SharedDataFact("stories260k")]
    public void Run_StoriesShards_GivesTheSameBits()
    {
        var script = StepScript.Random(7, 512, 150, 40);
        var expected = RunStories("mp1", script, 150, 0);

        Assert.Equal(expected, RunStories("mp2", script, 150, 0));
        Assert.Equal(expected, RunStories("mp4", script, 37, 1, 0));
        Assert.Equal(expected, RunStories("mp1", script, 150, [0], worldSize: 8));
        Assert.Equal(expected, RunStories("mp4", script, 150, [0], worldSize: 1));
        Assert.Equal(expected, RunStories("mp2", script, 40, [0], worldSize: 4));
        Assert.NotEqual(expected, RunStories("mp2-bf16", script, 150, 0));
    }

    private static List<int> RunStories(string shards, StepScript script, int chunk, params int[] batch)
        => RunStories(shards, script, chunk, batch, worldSize: 0);

    private static List<int> RunStories(string shards, StepScript script, int chunk, int[] batch, int worldSize)
    {
        using var world = ModelWorld.Load(
            Path.Combine(Repository.SharedData, "stories260k", shards), ModelWorld.Options(), worldSize: worldSize);
        Assert.True(world.Model.IsCanonical);
        return script.Run(world.Leader, 0, chunk, batch);
    }

    private static List<int> Run(
        RandomCheckpoint checkpoint,
        int worldSize,
        EmbeddingLayout layout,
        int threads,
        KernelSet kernels,
        StepScript script,
        int chunk,
        int[] batch,
        WeightFormat format = WeightFormat.Stored,
        CacheFormat cache = CacheFormat.Float32,
        MatmulPrecision precision = MatmulPrecision.Highest)
    {
        var options = ModelWorld.Options(threadCount: threads) with { WeightFormat = format, CacheFormat = cache, MatmulPrecision = precision };
        using var world = ModelWorld.Create(checkpoint, worldSize, layout, options, kernels);
        Assert.True(world.Model.IsCanonical);
        return script.Run(world.Leader, 0, chunk, batch);
    }
}
