using Distributed.Engine.Parallel;

namespace Distributed.Engine.Diagnosis;

/// <summary>What a <see cref="CheckpointDoctor"/> looks at.</summary>
public sealed record DoctorOptions
{
    /// <summary>Folder of the checkpoint.</summary>
    public required string Directory { get; init; }

    /// <summary>The tokenizer that will be used; <see langword="null"/> where none was found.</summary>
    public required string? TokenizerPath { get; init; }

    /// <summary>Positions of a row, for the cache.</summary>
    public required int MaxSequenceLength { get; init; }

    /// <summary>Rows that run together, for the cache.</summary>
    public required int MaxBatchSize { get; init; }

    /// <summary>The numbers of ranks whose memory and speed are told.</summary>
    public required IReadOnlyList<int> WorldSizes { get; init; }

    /// <summary>Pipeline stages and the ranks of each, where memory and speed are told of one such mesh; <see langword="null"/> for ranks of one stage.</summary>
    public ModelMesh? Mesh { get; init; }

    /// <summary>The world size that is compared with one rank, layer by layer; <see langword="null"/> for none.</summary>
    public int? DeepWorldSize { get; init; }

    /// <summary>Whether the files are not read to their end.</summary>
    public bool SkipsChecksums { get; init; }

    /// <summary>Threads that read, measure and compute.</summary>
    public required int ThreadCount { get; init; }
}
