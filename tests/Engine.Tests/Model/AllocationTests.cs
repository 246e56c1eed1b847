using Distributed.Collectives;
using Distributed.Engine.Checkpoints;
using Distributed.Engine.Kernels;
using Distributed.Engine.Model;
using Distributed.Engine.Parallel;

namespace Distributed.Engine.Tests.Model;

/// <summary>A decode step allocates nothing: here on the thread that drives it, in ComputePoolTests on those that help.</summary>
public sealed class AllocationTests
{
    private const int StepsPerWindow = 100;
    private const int MaxWindowCount = 50;

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

        // Code that is not yet compiled in full may box, and on a busy machine the compiler may take long to get to it. What a step
        // allocates by itself it allocates in every window.
        var allocated = long.MaxValue;
        for (var window = 0; window < MaxWindowCount && allocated > 0; window++)
        {
            var before = GC.GetAllocatedBytesForCurrentThread();
            for (var position = 0; position < StepsPerWindow; position++)
            {
                Decode(position);
            }

            allocated = GC.GetAllocatedBytesForCurrentThread() - before;
        }

        Assert.Equal(0, allocated);

        void Decode(int position)
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
