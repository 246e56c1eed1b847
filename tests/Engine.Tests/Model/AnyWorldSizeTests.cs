using Distributed.Engine.Checkpoints;
using Distributed.Engine.Kernels;
using Distributed.Engine.Parallel;

namespace Distributed.Engine.Tests.Model;

/// <summary>Any number of files on any number of ranks: the same bits for powers of two, the same tokens for all.</summary>
public sealed class AnyWorldSizeTests
{
    // Four query heads share a key-value head; 120 hidden units make 8 groups of 15, none of which is a whole block.
    private static readonly LlamaConfig Config = new()
    {
        Dimension = 64,
        LayerCount = 2,
        HeadCount = 16,
        KeyValueHeadCount = 4,
        HiddenDimension = 120,
        VocabularySize = 188,
        NormEpsilon = 1e-5f,
    };

    [Theory]
    [InlineData(TensorType.Float32)]
    [InlineData(TensorType.BFloat16)]
    public void Run_AnyFilesOnPowersOfTwo_GivesTheSameBits(TensorType type)
    {
        using var checkpoint = new RandomCheckpoint(Config, type, seed: 11);
        var script = StepScript.Random(12, Config.VocabularySize, 40, 20);
        var expected = Run(checkpoint, script, 1, 1, EmbeddingLayout.Whole, out _);
        foreach (var shardCount in new[] { 1, 2, 4 })
        {
            foreach (var worldSize in new[] { 1, 2, 4, 8 })
            {
                var layout = shardCount == 1 ? EmbeddingLayout.Whole : worldSize % 4 == 0 ? EmbeddingLayout.SplitByVocabulary : EmbeddingLayout.SplitByDimension;
                var actual = Run(checkpoint, script, shardCount, worldSize, layout, out var isCanonical);

                Assert.True(isCanonical);
                Assert.True(expected.SequenceEqual(actual), $"{shardCount} shards on {worldSize} ranks differ from one on one.");
            }
        }
    }

    [Theory]
    [InlineData(3)]
    [InlineData(5)]
    [InlineData(6)]
    [InlineData(7)]
    [InlineData(16)]
    public void Run_OtherWorldSizes_IsWithinRoundingAndSaysSo(int worldSize)
    {
        using var checkpoint = new RandomCheckpoint(Config, TensorType.Float32, seed: 13);
        var script = StepScript.Random(14, Config.VocabularySize, 30, 20);
        var expected = Run(checkpoint, script, 1, 1, EmbeddingLayout.Whole, out _);
        foreach (var shardCount in new[] { 1, 2, 4 })
        {
            var layout = shardCount == 1 ? EmbeddingLayout.Whole : EmbeddingLayout.SplitByVocabulary;
            var actual = Run(checkpoint, script, shardCount, worldSize, layout, out var isCanonical);

            Assert.False(isCanonical);
            for (var i = 1; i <= Config.VocabularySize; i++)
            {
                Assert.Equal(BitConverter.Int32BitsToSingle(expected[^i]), BitConverter.Int32BitsToSingle(actual[^i]), 1e-4f);
            }
        }
    }

    /// <summary>Prefetches aside, strided rows and rows in several files take other paths in the kernels of every width.</summary>
    [Fact]
    public void Run_TwoFilesOnEveryKernelSet_GivesTheSameBits()
    {
        using var checkpoint = new RandomCheckpoint(Config, TensorType.Float16, seed: 15);
        var script = StepScript.Random(16, Config.VocabularySize, 20);
        var expected = Run(checkpoint, script, 1, 1, EmbeddingLayout.Whole, out _);
        foreach (var kernels in KernelSet.Supported)
        {
            Assert.Equal(expected, Run(checkpoint, script, 2, 1, EmbeddingLayout.SplitByDimension, out _, kernels));
            Assert.Equal(expected, Run(checkpoint, script, 1, 4, EmbeddingLayout.Whole, out _, kernels));
        }
    }

    [Fact]
    public void FetchRow_UnevenSlices_GivesTheRowInOrder()
    {
        using var checkpoint = new RandomCheckpoint(Config with { VocabularySize = 187 }, TensorType.Float32, seed: 17);
        using var world = ModelWorld.Create(checkpoint, 5, EmbeddingLayout.Whole, ModelWorld.Options(), shardCount: 1);
        var command = new StepCommand();
        command.AddToken(186, 0, 0);
        command.AddOutput(0, targetTokenId: 150, detail: LogitsDetail.FullRow);

        var result = world.Leader.Run(command);
        var row = result[0].Row.ToArray();

        Assert.Equal(187, row.Length);
        Assert.Equal(row[150], result[0].TargetLogit);
        Assert.Equal(row.Max(), result[0].BestLogit);
        Assert.Equal(row.Order().Reverse().Take(64), result[0].Candidates.ToArray().Select(candidate => candidate.Logit));
        Assert.Equal(row, world.Leader.FetchRow(0).ToArray());
    }

    private static List<int> Run(
        RandomCheckpoint checkpoint,
        StepScript script,
        int shardCount,
        int worldSize,
        EmbeddingLayout layout,
        out bool isCanonical,
        KernelSet? kernels = null)
    {
        using var world = ModelWorld.Create(checkpoint, worldSize, layout, ModelWorld.Options(), kernels, shardCount);
        isCanonical = world.Model.IsCanonical;
        return script.Run(world.Leader, 0, 11, 0);
    }
}
