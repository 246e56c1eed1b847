using Distributed.Engine.Checkpoints;

namespace Distributed.Engine.Diagnosis;

/// <summary>What a checkpoint is.</summary>
/// <param name="Layout">Meta's or Hugging Face's.</param>
/// <param name="Family">Whose architecture.</param>
/// <param name="Config">Its shape.</param>
/// <param name="Type">How elements are stored.</param>
/// <param name="Quantization">What the matrices were quantised to by a conversion; <see langword="null"/> for nothing.</param>
/// <param name="ShardCount">Files among which tensors are divided.</param>
/// <param name="ByteCount">Bytes of all tensors.</param>
public sealed record ModelSummary(CheckpointLayout Layout, ModelFamily Family, LlamaConfig Config, TensorType Type, TensorType? Quantization, int ShardCount, long ByteCount);

/// <summary>What a tokenizer is.</summary>
/// <param name="Path">The file.</param>
/// <param name="Kind">The kind of model and file.</param>
/// <param name="VocabularySize">The number of its ids.</param>
/// <param name="ChatFormat">How dialogs would be written; <see langword="null"/> without a checkpoint.</param>
public sealed record TokenizerSummary(string Path, string Kind, int VocabularySize, string? ChatFormat);

/// <summary>All that a <see cref="CheckpointDoctor"/> found.</summary>
public sealed record DoctorReport
{
    /// <summary>The model; <see langword="null"/> where it cannot be opened.</summary>
    public required ModelSummary? Model { get; init; }

    /// <summary>The tokenizer; <see langword="null"/> where there is none or it cannot be read.</summary>
    public required TokenizerSummary? Tokenizer { get; init; }

    /// <summary>What the checksums of the files say; empty where they were not compared.</summary>
    public required IReadOnlyList<FileVerdict> Files { get; init; }

    /// <summary>[world size asked for]; empty without a model.</summary>
    public required IReadOnlyList<RankMemory> Memory { get; init; }

    /// <summary>This machine.</summary>
    public required MachineProfile Machine { get; init; }

    /// <summary>[world size asked for]; empty without a model.</summary>
    public required IReadOnlyList<SpeedLimit> Speed { get; init; }

    /// <summary>Errors first, then warnings, then notes.</summary>
    public required IReadOnlyList<Finding> Findings { get; init; }

    /// <summary>Whether nothing that was found keeps the model from being loaded.</summary>
    public bool WouldLoad => Findings.All(finding => finding.Level != FindingLevel.Error);
}
