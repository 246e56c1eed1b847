namespace Distributed.Engine.Checkpoints;

/// <summary>The layouts that can be written.</summary>
public enum CheckpointLayout
{
    /// <summary>params.json and consolidated.NN.pth.</summary>
    Meta,

    /// <summary>config.json and model.safetensors, in several files where it is large.</summary>
    HuggingFace,
}

/// <summary>What a converted checkpoint is to be.</summary>
public sealed record ConversionOptions
{
    public required CheckpointLayout Layout { get; init; }

    /// <summary>Files of Meta's layout, among which each tensor is divided; of no meaning for the other, which divides none.</summary>
    public int ShardCount { get; init; } = 1;

    /// <summary>How elements are stored; <see langword="null"/> as they are.</summary>
    public TensorType? Type { get; init; }

    /// <summary>
    /// <see cref="TensorType.Int8"/> or <see cref="TensorType.Int4"/>: every matrix but the embedding is written quantised, in Hugging Face's layout with a
    /// <c>quantization_config</c> of our own; <see langword="null"/> for none.
    /// </summary>
    public TensorType? Quantization { get; init; }

    /// <summary>A file of Hugging Face's layout gets no further tensor beyond this.</summary>
    public long MaxFileByteCount { get; init; } = 5_000_000_000;
}
