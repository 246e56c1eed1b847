using Distributed.Collectives;
using Distributed.Engine.Checkpoints;
using Distributed.Engine.Kernels;
using Distributed.Engine.Model;
using Distributed.Engine.Parallel;

namespace Distributed.Engine.Tests.Model;

/// <summary>A decode step allocates nothing: here on the thread that drives it, in ComputePoolTests on those that help.</summary>
public sealed class AllocationTests
{
    [Fact]
    public void Run_DecodeSteps_AllocateNothing()
    {
        var config = new LlamaConfig
        {
            Dimension = 256,
            LayerCount = 2,
            HeadCount = 8,
            KeyValueHeadCount = 4,
            HiddenDimension = 512,
            VocabularySize = 1024,
            NormEpsilon = 1e-5f,
        };
        using var checkpoint = new RandomCheckpoint(config, TensorType.BFloat16, seed: 1);
        using var group = new SingleProcessGroup();
        using var model = LlamaModel.Create(
            config,
            checkpoint.Stored(1, EmbeddingLayout.Whole),
            group,
            ModelWorld.Options(threadCount: 2),
            KernelSet.Best);
        var leader = new LeaderLoop(model, group);
        var command = new StepCommand();
        var position = 0;
        for (; position < 40; position++)
        {
            Decode();
        }

        var before = GC.GetAllocatedBytesForCurrentThread();
        for (; position < 140; position++)
        {
            Decode();
        }

        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);

        void Decode()
        {
            command.Clear();
            for (var slot = 0; slot < 4; slot++)
            {
                command.AddToken(position + slot, slot, position);
                command.AddOutput(slot, temperature: 0.5f, detail: slot == 0 ? LogitsDetail.Best : LogitsDetail.Candidates);
            }

            leader.Run(command);
        }
    }
}
