using Distributed.Collectives;
using Distributed.Engine.Checkpoints;
using Distributed.Engine.Diagnosis;
using Distributed.Engine.Kernels;
using Distributed.Engine.Model;
using Distributed.Engine.Tests.Model;

namespace Distributed.Engine.Tests.Torch;

/// <summary>What <c>worker doctor --deep --backend torch</c> finds between the two backends, on the processor.</summary>
[Collection("torch")]
public sealed class TorchComparisonTests
{
    private static readonly TorchOptions Torch = new() { Device = TorchDeviceKind.Cpu };

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void FirstDifference_SoundCheckpoint_IsNone(int worldSize)
    {
        using var checkpoint = CheckpointFolder.Open(Repository.DemoCheckpoint, null);

        Assert.Null(WorldComparison.FirstDifference(checkpoint, worldSize, threadCount: 2, Torch));
    }

    [Fact]
    public void FirstDifference_WrongWeightOfTheTorchBackend_NamesTheLayer()
    {
        var config = new LlamaConfig
        {
            Dimension = 64,
            LayerCount = 4,
            HeadCount = 8,
            KeyValueHeadCount = 4,
            HiddenDimension = 128,
            VocabularySize = 90,
            NormEpsilon = 1e-5f,
        };
        using var sound = new RandomCheckpoint(config, TensorType.Float32, seed: 3);
        using var wrong = new RandomCheckpoint(config, TensorType.Float32, seed: 3);
        var values = wrong["layers.2.attention.wk.weight"];
        for (var i = 0; i < values.Length; i++)
        {
            values[i] += i % 3;
        }

        LlamaModel Load(RandomCheckpoint checkpoint, ProcessGroup group, TorchOptions? torch) => LlamaModel.Create(
            config, checkpoint.Stored(1, EmbeddingLayout.Whole), group, ModelWorld.Options() with { Torch = torch }, KernelSet.Best);

        var found = WorldComparison.FirstDifference(2, group => Load(wrong, group, Torch), group => Load(sound, group, null));

        Assert.Equal((2, false), (found?.Layer, found?.IsFeedForward));
        Assert.Null(WorldComparison.FirstDifference(2, group => Load(sound, group, Torch), group => Load(sound, group, null)));
    }
}
