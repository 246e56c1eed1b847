using Distributed.Engine.Checkpoints;
using Distributed.Engine.Kernels;
using Distributed.Engine.Parallel;

namespace Distributed.Engine.Model;

/// <summary>What the parts of the forward pass on the processor share.</summary>
/// <param name="Config">The model's shape.</param>
/// <param name="Options">The sizes of its memory.</param>
/// <param name="Plan">This rank's part.</param>
/// <param name="Kernels">Arithmetic.</param>
/// <param name="Pool">Threads.</param>
/// <param name="Collectives">The other ranks of the stage.</param>
/// <param name="Buffers">The step's memory.</param>
internal sealed unsafe record ModelContext(
    LlamaConfig Config,
    LlamaModelOptions Options,
    ShardPlan Plan,
    KernelSet Kernels,
    ComputePool Pool,
    StepCollectives Collectives,
    ActivationBuffers Buffers)
{
    private int _start; // of the part that runs

    /// <summary>The first part of the current step whose result on this rank was not finite; see <see cref="StepStage"/>.</summary>
    public int FirstBadStage { get; private set; } = StepStage.None;

    /// <summary>The residual stream of the tokens that run now, a part of the step's: [token, dimension].</summary>
    public float* Hidden => Buffers.Hidden + ((nint)_start * Config.Dimension);

    /// <summary>Forgets the last step.</summary>
    public void BeginStep() => FirstBadStage = StepStage.None;

    /// <summary>Runs the step's tokens from this one on.</summary>
    public void BeginPart(int start) => _start = start;

    /// <summary>Notes the stage if values [length] are not all finite and no earlier stage was bad.</summary>
    public void CheckFinite(float* values, int length, int stage)
    {
        if (stage < FirstBadStage && !Kernels.IsFinite(values, length))
        {
            FirstBadStage = stage;
        }
    }
}
