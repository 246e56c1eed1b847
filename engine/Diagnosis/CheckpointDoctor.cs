using System.Globalization;
using Distributed.Engine.Checkpoints;
using Distributed.Engine.Generation;
using Distributed.Engine.Model;
using Distributed.Engine.Parallel;
using Distributed.Engine.Tokenizers;
using Distributed.Engine.Weights;

namespace Distributed.Engine.Diagnosis;

/// <summary>
/// Looks at a checkpoint as loading would, before minutes of loading: its files, its shape, its tokenizer, the memory of a rank, and what
/// this machine can make of it. Everything that is wrong is told, not the first alone.
/// </summary>
public sealed class CheckpointDoctor(DoctorOptions options)
{
    private readonly List<Finding> _findings = [];

    /// <summary>Looks at all.</summary>
    /// <param name="progress">Told how far the reading of the files is, from any thread.</param>
    /// <param name="cancellationToken">Ends it with <see cref="OperationCanceledException"/>.</param>
    public DoctorReport Examine(IProgress<ExaminationProgress>? progress = null, CancellationToken cancellationToken = default)
    {
        var tokenizer = ReadTokenizer();
        using var checkpoint = FolderExamination.Open(options.Directory, _findings);
        var model = checkpoint is null ? null : Summarize(checkpoint, tokenizer);
        var chat = checkpoint is null || tokenizer is null ? null : Chat(checkpoint, tokenizer);
        var files = options.SkipsChecksums
            ? []
            : new ChecksumExamination(options.Directory, options.ThreadCount, _findings, progress, cancellationToken)
                .Run(checkpoint, Path.GetDirectoryName(options.TokenizerPath));
        var memory = model is null ? [] : Memory(model);
        var machine = MachineProfile.Measure(options.ThreadCount);
        if (model is not null)
        {
            CheckMemory(model, memory, machine);
        }

        if (checkpoint is not null && options.DeepWorldSize is { } worldSize && _findings.All(finding => finding.Level != FindingLevel.Error))
        {
            _findings.Add(Compare(checkpoint, worldSize));
        }

        return new DoctorReport
        {
            Model = model,
            Tokenizer = tokenizer is null
                ? null
                : new TokenizerSummary(
                    options.TokenizerPath!, tokenizer.Kind, tokenizer.VocabularySize, chat?.Name),
            Files = files,
            Memory = memory,
            Machine = machine,
            Speed = [.. memory.Select(entry => SpeedLimit.Of(model!.Config, Quantization(model), options.MatmulPrecision, entry, machine, options.MaxSequenceLength / 2))],
            Findings = [.. _findings.OrderByDescending(finding => finding.Level)],
        };
    }

    private Tokenizer? ReadTokenizer()
    {
        if (options.TokenizerPath is not { } path)
        {
            _findings.Add(Finding.Warning(
                $"{options.Directory} holds no tokenizer.json or tokenizer.model, so none was looked at; name the model's with --tokenizer-path."));
            return null;
        }

        try
        {
            return Tokenizer.Load(path);
        }
        catch (TokenizerFormatException error)
        {
            _findings.Add(Finding.Error(error.Message));
            return null;
        }
    }

    private ChatFormat Chat(CheckpointSource checkpoint, Tokenizer tokenizer)
    {
        var template = ChatTemplate.Find(options.TokenizerPath!); // the tokenizer was read from there
        var format = ChatFormat.Of(checkpoint, tokenizer, template);
        if (template?.Remark(format) is var (isWarning, message))
        {
            _findings.Add(isWarning ? Finding.Warning(message) : Finding.Note(message));
        }

        return format;
    }

    private ModelSummary Summarize(CheckpointSource checkpoint, Tokenizer? tokenizer)
    {
        using var mapped = checkpoint.Map();
        var type = mapped.Tensors.First().Type; // one for all, which opening has proved
        _findings.AddRange(ModelTraps.Of(options.Directory, checkpoint, type, mapped.TiesOutput, tokenizer));
        var layout = checkpoint is MetaCheckpoint ? CheckpointLayout.Meta : CheckpointLayout.HuggingFace;
        var (size, tokens) = (checkpoint.Config.VocabularySize, tokenizer?.VocabularySize);
        if (tokens > size || (layout == CheckpointLayout.Meta && tokens < size))
        {
            _findings.Add(Finding.Error($"The tokenizer has {tokens} tokens but the model {size}; use the checkpoint's own tokenizer."));
        }

        try
        {
            checkpoint.Config.RequireSequenceLength(options.MaxSequenceLength);
            _ = WeightFormats.Of(checkpoint, options.WeightFormat);
            MatmulPrecisions.Require(checkpoint, options.MatmulPrecision, options.WeightFormat);
        }
        catch (CheckpointException error)
        {
            _findings.Add(Finding.Error(error.Message));
        }

        return new ModelSummary(layout, checkpoint.Family, checkpoint.Config, type, checkpoint.Quantization, checkpoint.ShardCount, checkpoint.ByteCount);
    }

    private List<RankMemory> Memory(ModelSummary model)
    {
        var memory = new List<RankMemory>();
        foreach (var worldSize in options.WorldSizes)
        {
            try
            {
                memory.Add(RankMemory.Of(model.Config, model.Quantization ?? model.Type, options.Model, options.Mesh ?? ModelMesh.OneStage(worldSize)));
            }
            catch (CheckpointException error)
            {
                _findings.Add(Finding.Error(error.Message));
            }
        }

        return memory;
    }

    // All ranks on this machine keep the same mapped files, and each its own cache.
    private void CheckMemory(ModelSummary model, List<RankMemory> memory, MachineProfile machine)
    {
        var onLoad = options.WeightFormat != WeightFormat.Stored && model.Quantization is null; // then it is the copies that have to fit
        var byteCount = onLoad && memory.Count > 0 ? memory[0].TotalWeightByteCount : model.ByteCount;
        if (byteCount > machine.MemoryByteCount)
        {
            var fitting = memory.FirstOrDefault(entry => entry.ByteCount < machine.MemoryByteCount);
            var next = fitting is null ? "use more machines" : $"{fitting.WorldSize} ranks would fit, each on a machine like this one";
            _findings.Add(Finding.Warning(
                $"The weights have {Gigabytes(byteCount)} and this machine {Gigabytes(machine.MemoryByteCount)} of memory, so that it would read "
                + $"the disk for every token; {next}."));
        }

        if (memory.FirstOrDefault(entry => entry.CacheByteCount > machine.MemoryByteCount) is { } tooLarge)
        {
            _findings.Add(Finding.Warning(
                $"Keys and values of a rank take up to {Gigabytes(tooLarge.CacheByteCount)} with {tooLarge.WorldSize} ranks, more than this machine has; "
                + "lower --max-seq-len, --max-batch-size or --kv-cache-tokens, or keep them in another --cache-dtype."));
        }
    }

    // In the files or while loading.
    private TensorType? Quantization(ModelSummary model) => model.Quantization ?? options.WeightFormat.Type();

    private Finding Compare(CheckpointSource checkpoint, int worldSize)
    {
        var ranks = worldSize == 1 ? "one rank" : $"{worldSize} ranks";
        var compared = options.DeepTorch is null ? $"{ranks} and one rank" : $"The torch backend on {ranks} and the managed backend on one";
        try
        {
            if (options.DeepTorch is not null)
            {
                TorchSupport.Require(checkpoint);
            }

            return WorldComparison.FirstDifference(checkpoint, worldSize, options.ThreadCount, options.DeepTorch) is { } found
                ? Finding.Error(string.Create(
                    CultureInfo.InvariantCulture,
                    $"{compared} first differ after {(found.IsFeedForward ? "the feed-forward part" : "attention")} of layer {found.Layer} on rank(s) "
                    + $"{string.Join(", ", found.Ranks)}, by up to {found.MaxDifference:g3} where numbers are up to {found.MaxMagnitude:g3}; report it with the model's name."))
                : Finding.Note($"{compared} agree after every layer, on {WorldComparison.TokenCount} tokens.");
        }
        catch (Exception error) when (error is NonFiniteLogitsException or CheckpointException or BackendException)
        {
            return Finding.Error(error.Message);
        }
    }

    private static string Gigabytes(long byteCount) => string.Create(CultureInfo.InvariantCulture, $"{byteCount / 1e9:0.0} GB");
}
