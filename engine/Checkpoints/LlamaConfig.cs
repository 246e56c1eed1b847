namespace Distributed.Engine.Checkpoints;

/// <summary>The shape of a Llama, as its params.json and the shapes of its tensors give it.</summary>
public sealed record LlamaConfig
{
    /// <summary>Width of the residual stream (<c>dim</c>).</summary>
    public required int Dimension { get; init; }

    /// <summary>Number of transformer layers (<c>n_layers</c>).</summary>
    public required int LayerCount { get; init; }

    /// <summary>Number of query heads (<c>n_heads</c>).</summary>
    public required int HeadCount { get; init; }

    /// <summary>Number of key and value heads (<c>n_kv_heads</c>); divides <see cref="HeadCount"/>.</summary>
    public required int KeyValueHeadCount { get; init; }

    /// <summary>Inner width of the feed-forward layers.</summary>
    public required int HiddenDimension { get; init; }

    /// <summary>Number of token ids that the model knows; the tokenizer's where params.json says -1.</summary>
    public required int VocabularySize { get; init; }

    /// <summary>Added to the mean square in RMSNorm (<c>norm_eps</c>).</summary>
    public required float NormEpsilon { get; init; }

    /// <summary>Base of the rotary frequencies (<c>rope_theta</c>, 10000 where absent).</summary>
    public float RopeTheta { get; init; } = 10000f;

    /// <summary>Llama 3.1's frequency scaling factor (<c>use_scaled_rope</c>: 8; 32 for the 1B and 3B of 3.2); 1 for none.</summary>
    public float RopeScalingFactor { get; init; } = 1f;

    /// <summary>Width of a head.</summary>
    public int HeadDimension => Dimension / HeadCount;
}
