namespace Distributed.Engine.Checkpoints;

/// <summary>
/// The shape of a Llama or of a model of its family, as params.json or config.json and the shapes of the tensors give it.
/// </summary>
public sealed record LlamaConfig
{
    /// <summary>The greatest number of canonical groups, and of ranks whose results have the same bits.</summary>
    public const int MaxGroupCount = 8;

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

    /// <summary>
    /// The factor by which rotary frequencies are divided: all of them, or with <see cref="RopeScalingKind.Llama3"/> the low ones
    /// (<c>use_scaled_rope</c>: 8; 32 for the 1B and 3B of Llama 3.2); 1 for none.
    /// </summary>
    public float RopeScalingFactor { get; init; } = 1f;

    /// <summary>Which frequencies <see cref="RopeScalingFactor"/> divides.</summary>
    public RopeScalingKind RopeScaling { get; init; }

    /// <summary>Wavelengths beyond the old context over this are stretched by the whole factor (Llama 3.1: 1).</summary>
    public float RopeLowFrequencyFactor { get; init; } = 1f;

    /// <summary>Wavelengths below the old context over this are kept (Llama 3.1: 4).</summary>
    public float RopeHighFrequencyFactor { get; init; } = 4f;

    /// <summary>The context that the model was trained with before its frequencies were scaled (Llama 3.1: 8192).</summary>
    public float RopeOldContextLength { get; init; } = 8192f;

    /// <summary>
    /// Whether element i of a query or key head turns with element i + width / 2, as Hugging Face stores them, and not 2i with 2i + 1.
    /// </summary>
    public bool RotatesHalves { get; init; }

    /// <summary>Width of a head (<c>head_dim</c>); <see cref="Dimension"/> over <see cref="HeadCount"/> where it is not given.</summary>
    public int HeadDimension
    {
        get => field > 0 ? field : Dimension / HeadCount;
        init;
    }

    /// <summary>Whether queries, keys and values have biases (Qwen2).</summary>
    public bool HasQueryKeyValueBias { get; init; }

    /// <summary>Whether each query and key head passes a norm before it is turned (Qwen3).</summary>
    public bool HasQueryKeyNorm { get; init; }

    /// <summary>Positions that a token attends to, its own included; 0 for all (<c>sliding_window</c>).</summary>
    public int SlidingWindow { get; init; }

    /// <summary>The first layer that <see cref="SlidingWindow"/> applies to.</summary>
    public int FirstSlidingLayer { get; init; }

    /// <summary>
    /// The longest sequence that can be run; <see langword="null"/> where nothing but memory limits it. Dynamic rotary scaling changes the
    /// angles of all positions beyond it.
    /// </summary>
    public int? MaxSequenceLength { get; init; }

    /// <summary>Width of all query heads together.</summary>
    public int QueryDimension => HeadCount * HeadDimension;

    /// <summary>
    /// Into how many canonical groups a sum over heads or hidden units is cut, whatever the world size: 8, or the largest smaller power of two that
    /// divides them.
    /// </summary>
    public static int CanonicalGroupCount(int count) => Math.Min(MaxGroupCount, count & -count);

    /// <exception cref="CheckpointException">
    /// <paramref name="length"/> is more than <see cref="MaxSequenceLength"/>; the message says what to do.
    /// </exception>
    public void RequireSequenceLength(int length)
    {
        if (length > MaxSequenceLength)
        {
            throw new CheckpointException(
                $"max_seq_len is {length} but this model's dynamic rotary scaling can be run up to {MaxSequenceLength} positions; lower max_seq_len.");
        }
    }
}
