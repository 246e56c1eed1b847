using Distributed.Collectives;
using Distributed.Engine.Generation;
using Distributed.Engine.Kernels;
using Distributed.Engine.Model;
using Distributed.Engine.Weights;

namespace Distributed.Worker.Options;

/// <summary>What standard output carries.</summary>
internal enum OutputFormat
{
    Text,
    Json,
}

/// <summary>What <c>complete</c>, <c>chat</c> and <c>serve</c> have in common, read and checked as far as that needs no file.</summary>
internal sealed record RunOptions
{
    // Beyond these the cache alone would not fit any machine; a typing error is likelier.
    private const int MaxSequenceLengthLimit = 1 << 20;
    private const int MaxBatchSizeLimit = 4096;
    private const int MaxThreadCount = 1024;

    /// <summary>Folder of the checkpoint; <see langword="null"/> where it was not given, which has been said.</summary>
    public required string? CheckpointDirectory { get; init; }

    /// <inheritdoc cref="CheckpointDirectory"/>
    public required string? TokenizerPath { get; init; }

    public required int MaxSequenceLength { get; init; }

    public required int MaxBatchSize { get; init; }

    /// <summary>What the weights are computed with, by the managed backend.</summary>
    public required WeightFormat WeightFormat { get; init; }

    /// <summary>What products are computed from, by the managed backend.</summary>
    public required MatmulPrecision MatmulPrecision { get; init; }

    /// <summary>The torch backend; <see langword="null"/> for the managed one.</summary>
    public required TorchOptions? Torch { get; init; }

    /// <summary>What keys and values are kept as.</summary>
    public required CacheFormat CacheFormat { get; init; }

    /// <summary>Positions of the key-value cache; <see langword="null"/> for those of all rows.</summary>
    public required int? CacheTokenCount { get; init; }

    public required GenerationOptions Generation { get; init; }

    public required OutputFormat Format { get; init; }

    /// <summary>Compute threads of this rank; <see langword="null"/> for its share of the cores.</summary>
    public required int? ThreadCount { get; init; }

    /// <summary>Between ranks of one host; <see langword="null"/> for what the environment says.</summary>
    public required TransportChoice? Transport { get; init; }

    /// <summary>Whether the user named NCCL as the transport.</summary>
    public required bool AsksForNccl { get; init; }

    /// <summary>How sums travel between hosts; <see langword="null"/> for what the environment says.</summary>
    public required WireFormat? Wire { get; init; }

    public required bool SkipsChecksums { get; init; }

    /// <summary>Whether a model that thinks before it answers is told not to.</summary>
    public required bool SkipsThinking { get; init; }

    /// <summary>Where the layers go.</summary>
    public required PlacementOptions Placement { get; init; }

    /// <summary>Reads them for <paramref name="command"/>, whose defaults are those of Meta's example script of that name.</summary>
    public static RunOptions Read(string command, OptionValues values, List<string> problems)
    {
        var (sequenceLength, batchSize, generationLength) = command switch
        {
            OptionCatalog.Chat => (512, 8, (int?)null),
            OptionCatalog.Serve => (OptionCatalog.ServeSequenceLength, 8, null),
            _ => (128, 4, 64),
        };
        var reader = new OptionReader(values, problems);
        var generation = new GenerationOptions
        {
            MaxGenerationLength = reader.IntegerOrNone(OptionCatalog.MaxGenerationLength, generationLength, 0, int.MaxValue),
            Temperature = reader.Number(OptionCatalog.Temperature, 0.6f),
            TopP = reader.Number(OptionCatalog.TopP, 0.9f),
            Seed = reader.Seed(OptionCatalog.Seed, 1),
            LogProbabilities = reader.Flag(OptionCatalog.LogProbabilities),
            Echo = reader.Flag(OptionCatalog.Echo),
            StopTokenIds = reader.TokenIds(OptionCatalog.StopTokenIds),
        };
        problems.AddRange(generation.Problems());
        var torch = BackendOptions.Read(reader, values, problems);
        var model = values.Has(OptionCatalog.Model) ? reader.Required(OptionCatalog.Model, "name the folder of the model") : null;
        if (model is not null && values.Has(OptionCatalog.CheckpointDirectory))
        {
            problems.Add("--model and --ckpt-dir both name the checkpoint; keep one.");
        }

        var maxSequenceLength = reader.Integer(OptionCatalog.MaxSequenceLength, sequenceLength, 1, MaxSequenceLengthLimit);
        return new RunOptions
        {
            CheckpointDirectory = model ?? reader.Required(
                OptionCatalog.CheckpointDirectory, "name the folder of the checkpoint, or a whole model's with --model, or a --config that does"),
            TokenizerPath = model is not null && !values.Has(OptionCatalog.TokenizerPath)
                ? ModelFolder.FindTokenizer(model, problems)
                : reader.Required(OptionCatalog.TokenizerPath, "name the checkpoint's tokenizer.model or tokenizer.json, or a --config that does"),
            MaxSequenceLength = maxSequenceLength,
            MaxBatchSize = reader.Integer(OptionCatalog.MaxBatchSize, batchSize, 1, MaxBatchSizeLimit),
            WeightFormat = torch is null ? reader.DataType(OptionCatalog.DataType) : WeightFormat.Stored,
            MatmulPrecision = torch is null ? reader.MatmulPrecision(OptionCatalog.MatmulPrecision) : MatmulPrecision.Highest,
            Torch = torch,
            CacheFormat = reader.CacheDataType(OptionCatalog.CacheDataType),
            CacheTokenCount = ReadCacheTokenCount(reader, maxSequenceLength, problems),
            Generation = generation,
            Format = reader.Choice(OptionCatalog.Format, OutputFormat.Text),
            ThreadCount = reader.IntegerOrNone(OptionCatalog.Threads, null, 1, MaxThreadCount),
            Transport = reader.Transport(OptionCatalog.Transport),
            AsksForNccl = values[OptionCatalog.Transport]?.Last == OptionReader.Nccl,
            Wire = reader.Wire(OptionCatalog.Wire),
            SkipsChecksums = reader.Flag(OptionCatalog.SkipChecksums),
            SkipsThinking = reader.Flag(OptionCatalog.NoThinking),
            Placement = PlacementOptions.Read(values, reader, problems),
        };
    }

    /// <summary>Reads --kv-cache-tokens, which must hold one whole row.</summary>
    public static int? ReadCacheTokenCount(OptionReader reader, int maxSequenceLength, List<string> problems)
    {
        var count = reader.IntegerOrNone(OptionCatalog.CacheTokenCount, null, 1, int.MaxValue);
        if (count < maxSequenceLength)
        {
            problems.Add(
                $"--{OptionCatalog.CacheTokenCount} {count} holds less than one row of --{OptionCatalog.MaxSequenceLength} {maxSequenceLength}; raise it, or lower --{OptionCatalog.MaxSequenceLength}.");
        }

        return count;
    }
}
