using Distributed.Collectives;
using Distributed.Engine.Generation;
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

    /// <summary>The torch backend; <see langword="null"/> for the managed one.</summary>
    public required TorchOptions? Torch { get; init; }

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

        return new RunOptions
        {
            CheckpointDirectory = model ?? reader.Required(
                OptionCatalog.CheckpointDirectory, "name the folder of the checkpoint, or a whole model's with --model, or a --config that does"),
            TokenizerPath = model is not null && !values.Has(OptionCatalog.TokenizerPath)
                ? ModelFolder.FindTokenizer(model, problems)
                : reader.Required(OptionCatalog.TokenizerPath, "name the checkpoint's tokenizer.model or tokenizer.json, or a --config that does"),
            MaxSequenceLength = reader.Integer(OptionCatalog.MaxSequenceLength, sequenceLength, 1, MaxSequenceLengthLimit),
            MaxBatchSize = reader.Integer(OptionCatalog.MaxBatchSize, batchSize, 1, MaxBatchSizeLimit),
            WeightFormat = torch is null ? reader.DataType(OptionCatalog.DataType) : WeightFormat.Stored,
            Torch = torch,
            Generation = generation,
            Format = reader.Choice(OptionCatalog.Format, OutputFormat.Text),
            ThreadCount = reader.IntegerOrNone(OptionCatalog.Threads, null, 1, MaxThreadCount),
            Transport = reader.Transport(OptionCatalog.Transport),
            AsksForNccl = values[OptionCatalog.Transport]?.Last == OptionReader.Nccl,
            Wire = reader.Wire(OptionCatalog.Wire),
            SkipsChecksums = reader.Flag(OptionCatalog.SkipChecksums),
            Placement = PlacementOptions.Read(values, reader, problems),
        };
    }
}
