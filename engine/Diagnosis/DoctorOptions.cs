using Distributed.Engine.Kernels;
using Distributed.Engine.Model;
using Distributed.Engine.Parallel;
using Distributed.Engine.Weights;

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

    /// <summary>What the weights would be computed with.</summary>
    public WeightFormat WeightFormat { get; init; }

    /// <summary>What products would be computed from.</summary>
    public MatmulPrecision MatmulPrecision { get; init; }

    /// <summary>What keys and values would be kept as.</summary>
    public CacheFormat CacheFormat { get; init; }

    /// <summary>Positions of the key-value cache for all rows together; <see langword="null"/> for those of MaxBatchSize rows.</summary>
    public int? CacheTokenCount { get; init; }

    /// <summary>The numbers of ranks whose memory and speed are told.</summary>
    public required IReadOnlyList<int> WorldSizes { get; init; }

    /// <summary>Pipeline stages and the ranks of each, where memory and speed are told of one such mesh; <see langword="null"/> for ranks of one stage.</summary>
    public ModelMesh? Mesh { get; init; }

    /// <summary>The world size that is compared with one rank, layer by layer; <see langword="null"/> for none.</summary>
    public int? DeepWorldSize { get; init; }

    /// <summary>The backend of the ranks that are compared with one rank of the managed one; <see langword="null"/> for the managed one.</summary>
    public TorchOptions? DeepTorch { get; init; }

    /// <summary>Whether the files are not read to their end.</summary>
    public bool SkipsChecksums { get; init; }

    /// <summary>Threads that read, measure and compute.</summary>
    public required int ThreadCount { get; init; }

    /// <summary>Positions that the cache holds, whole blocks of them.</summary>
    public int CachePositionCount => Model.CacheBlockCount * KeyValueCache.BlockLength;

    /// <summary>The sizes of a rank's memory.</summary>
    internal LlamaModelOptions Model => new()
    {
        MaxSequenceLength = MaxSequenceLength,
        MaxBatchSize = MaxBatchSize,
        CacheFormat = CacheFormat,
        CacheTokenCount = CacheTokenCount,
        WeightFormat = WeightFormat,
        MatmulPrecision = MatmulPrecision,
        ThreadCount = ThreadCount,
    };
}
