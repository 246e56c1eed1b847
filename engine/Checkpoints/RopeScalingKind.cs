namespace Distributed.Engine.Checkpoints;

/// <summary>Which rotary frequencies a scaling factor divides.</summary>
public enum RopeScalingKind
{
    /// <summary>Low ones, and those between low and high in part (Llama 3.1).</summary>
    Llama3,

    /// <summary>All: positions are interpolated (Chen et al., arXiv:2306.15595).</summary>
    Linear,
}
