using Distributed.Collectives;
using Distributed.Engine.Checkpoints;
using Distributed.Engine.Diagnosis;
using Distributed.Engine.Kernels;
using Distributed.Engine.Model;
using Distributed.Engine.Parallel;
using Distributed.Engine.Tests.Model;
using Distributed.Engine.Weights;

namespace Distributed.Engine.Tests.Diagnosis;

/// <summary>What is told before loading is what loading takes.</summary>
public sealed class RankMemoryTests
{
    internal static readonly LlamaConfig Config = new()
    {
        Dimension = 96,
        LayerCount = 2,
        HeadCount = 8,
        KeyValueHeadCount = 4,
        HiddenDimension = 160,
        VocabularySize = 70,
        NormEpsilon = 1e-5f,
    };

    [Theory]
    [InlineData(1, WeightFormat.Stored, CacheFormat.Float32)]
    [InlineData(2, WeightFormat.Stored, CacheFormat.BFloat16)]
    [InlineData(3, WeightFormat.Stored, CacheFormat.Int8)]
    [InlineData(8, WeightFormat.Stored, CacheFormat.Float32)]
    [InlineData(2, WeightFormat.Int8, CacheFormat.Float32)]
    [InlineData(8, WeightFormat.Int4, CacheFormat.Int8)]
    public void Of_AnyWorldSize_IsWhatTheRanksHave(int worldSize, WeightFormat format, CacheFormat cacheFormat)
    {
        using var checkpoint = new RandomCheckpoint(Config, TensorType.BFloat16, seed: 5);
        var tensors = checkpoint.Stored(1, EmbeddingLayout.Whole);
        var groups = InMemoryWorld.Create(worldSize);
        var options = ModelWorld.Options(maxSequenceLength: 40, maxBatchSize: 3) with { WeightFormat = format, CacheFormat = cacheFormat, CacheTokenCount = 100 };
        var models = groups.Select(group => LlamaModel.Create(Config, tensors, group, options, KernelSet.Best)).ToArray();

        var memory = RankMemory.Of(Config, TensorType.BFloat16, options, worldSize);

        Assert.Equal(models.Sum(model => model.MatrixByteCount), memory.TotalWeightByteCount);
        Assert.Contains(memory.WeightByteCount, models.Select(model => model.MatrixByteCount));
        var largest = models.Select(model => model.Plan.KeyValueHeads.Count).Max();
        using var cache = new KeyValueCache(Config.LayerCount, 2, largest, new CacheLayout(cacheFormat, Config.HeadDimension));
        Assert.Equal(cache.ByteCount, memory.CacheByteCount);
        Array.ForEach(models, model => model.Dispose());
        Array.ForEach(groups, group => group.Dispose());
    }

    [Fact]
    public void Of_Stages_CountsTheirLayersAndTheOutputOfTheLast()
    {
        var one = RankMemory.Of(Config, TensorType.BFloat16, ModelWorld.Options(maxSequenceLength: 40, maxBatchSize: 3), worldSize: 1);
        var stages = RankMemory.Of(Config, TensorType.BFloat16, ModelWorld.Options(maxSequenceLength: 40, maxBatchSize: 3), ModelMesh.OneRankAStage(2));

        // Two layers, one a stage, and nothing twice.
        var output = (long)Config.VocabularySize * Config.Dimension * 2;
        Assert.Equal(one.TotalWeightByteCount, stages.TotalWeightByteCount);
        Assert.Equal(((one.WeightByteCount - output) / 2) + output, stages.WeightByteCount);
        Assert.Equal(one.CacheByteCount / 2, stages.CacheByteCount);
        Assert.Equal((2, one.TotalPositionByteCount), (stages.WorldSize, stages.TotalPositionByteCount));
    }

    [Fact]
    public void TokenByteCount_AtAPosition_CountsAllKeysAndValuesBefore()
    {
        var memory = RankMemory.Of(Config, TensorType.Float16, ModelWorld.Options(maxSequenceLength: 16, maxBatchSize: 1), 2);

        // 2 layers, keys and values, 4 heads of 12 padded to 16, float32.
        Assert.Equal(memory.TotalWeightByteCount + (10 * 2 * 2 * 4 * 16 * 4), memory.TokenByteCount(10));
    }
}
