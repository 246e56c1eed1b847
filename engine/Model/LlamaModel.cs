using System.Diagnostics;
using System.Numerics;
using Distributed.Collectives;
using Distributed.Engine.Checkpoints;
using Distributed.Engine.Kernels;
using Distributed.Engine.Parallel;
using Distributed.Engine.Weights;

namespace Distributed.Engine.Model;

/// <summary>
/// One rank's part of a Llama, and the pass of a step through it: what a step is and who hears of it. Weights, cache and arithmetic are the
/// <see cref="ComputeBackend"/>'s. <see cref="LeaderLoop"/> on rank 0 and <see cref="FollowerLoop"/> elsewhere drive it.
/// </summary>
/// <remarks>One thread owns the model and its process group: the one that runs the loop.</remarks>
public sealed class LlamaModel : IDisposable
{
    private readonly MappedCheckpoint? _checkpoint;
    private readonly ComputeBackend _backend;
    private readonly BlockTables _tables;
    private readonly StepPieces _pieces;
    private readonly PipelineStage? _pipeline; // where there are several stages
    private readonly bool[] _kept; // [output] of the last step
    private int _outputCount; // of the last step
    private float[]? _noRow;
    private long _stepCount;
    private long _stepTicks;

    private LlamaModel(
        LlamaConfig config,
        Func<string, StoredTensor> tensors,
        ProcessGroup group,
        LlamaModelOptions options,
        KernelSet kernels,
        MappedCheckpoint? checkpoint,
        Func<RankShard, ComputeBackend> createBackend)
    {
        options.Validate();
        config.RequireSequenceLength(options.MaxSequenceLength);
        if (!BitConverter.IsLittleEndian)
        {
            throw new PlatformNotSupportedException(
                "Weights are used as they are stored, in little-endian order, which this machine does not have.");
        }

        (Config, Options, Kernels, _checkpoint) = (config, options, kernels, checkpoint);
        Mesh = options.Mesh ?? ModelMesh.OneStage(group.WorldSize);
        Plan = CreatePlan(tensors, group.Rank);
        Collectives = new StepCollectives(group, Mesh);
        Limits = new StepLimits(
            config.VocabularySize, options.MaxBatchSize, options.MaxSequenceLength, options.MaxTokensPerStep, options.CacheBlockCount);
        _tables = new BlockTables(options.MaxBatchSize, KeyValueCache.BlocksFor(options.MaxSequenceLength));
        _pieces = new StepPieces(Plan, options.MaxTokensPerStep);
        _kept = new bool[options.MaxTokensPerStep];
        _pipeline = Mesh.StageCount == 1 ? null : new PipelineStage(Plan, config.Dimension, options.MaxTokensPerStep, Collectives);
        _backend = createBackend(new RankShard(config, options, Plan, tensors, Collectives, _tables));
    }

    /// <summary>The model's shape.</summary>
    public LlamaConfig Config { get; }

    /// <summary>The sizes that memory was allocated for.</summary>
    public LlamaModelOptions Options { get; }

    /// <summary>
    /// Whether results have the bits that one rank alone would give: <see cref="ShardPlan.IsCanonical"/>, and files in a power of two.
    /// </summary>
    public bool IsCanonical => Plan.IsCanonical && FilesCutBetweenGroups;

    /// <summary>A few words: the vector instructions, or the device, that compute.</summary>
    public string InstructionSet => _backend.Description;

    /// <summary>Bytes of the matrices of this rank, all of which a token passes through.</summary>
    public long MatrixByteCount => _backend.MatrixByteCount;

    /// <summary>Bytes of this rank's weights that are used in place in the mapped files; of the embedding it has no part of its own.</summary>
    public long MappedByteCount => _backend.MappedByteCount;

    /// <summary>Bytes allocated beside the weights; what was never touched of them is not resident.</summary>
    public long OwnedByteCount => _backend.OwnedByteCount + (_pipeline?.ByteCount ?? 0);

    /// <summary>Pipeline stages and the ranks of each.</summary>
    public ModelMesh Mesh { get; }

    /// <summary>The layers of this rank's stage.</summary>
    public ShardRange Layers => Plan.Layers;

    internal ShardPlan Plan { get; }

    internal KernelSet Kernels { get; }

    internal StepCollectives Collectives { get; }

    internal StepLimits Limits { get; }

    /// <summary>Called after each half of each layer, on the thread of the step; <see langword="null"/> while nobody compares.</summary>
    internal LayerObserver? Observer
    {
        get => _backend.Observer;
        set => _backend.Observer = value;
    }

    // Three files of a checkpoint would cut through canonical groups, whose sums then differ from world size to world size.
    private bool FilesCutBetweenGroups { get; init; } = true;

    /// <summary>Maps the checkpoint and allocates what this rank computes in; weights are read when they are first used.</summary>
    /// <param name="checkpoint">The whole checkpoint; it may be disposed after this.</param>
    /// <param name="group">The ranks, any number; used by the loops, not disposed.</param>
    /// <param name="options">Sizes, the same on every rank.</param>
    /// <param name="progress">Told of the layers that are ready, of all; worth a line only where weights are quantised.</param>
    /// <exception cref="CheckpointException">The files cannot be mapped, or there are more ranks than token ids.</exception>
    /// <exception cref="BackendException">The Torch backend was asked for and cannot compute here.</exception>
    public static LlamaModel Load(
        CheckpointSource checkpoint, ProcessGroup group, LlamaModelOptions options, IProgress<(long Done, long Total)>? progress = null)
        => Load(checkpoint, group, options, KernelSet.Best, progress);

    /// <summary>As the public one, with kernels of choice.</summary>
    internal static LlamaModel Load(
        CheckpointSource checkpoint,
        ProcessGroup group,
        LlamaModelOptions options,
        KernelSet kernels,
        IProgress<(long Done, long Total)>? progress = null)
    {
        if (options.Torch is not null)
        {
            TorchSupport.Require(checkpoint);
        }

        options = options with { WeightFormat = WeightFormats.Of(checkpoint, options.WeightFormat) };
        var mapped = checkpoint.Map();
        try
        {
            if (options.WeightFormat != WeightFormat.Stored)
            {
                progress = new PageDropper(mapped, progress);
            }

            return new LlamaModel(
                checkpoint.Config, name => mapped[name], group, options, kernels, mapped, shard => CreateBackend(shard, kernels, progress))
            {
                FilesCutBetweenGroups = BitOperations.IsPow2(checkpoint.ShardCount),
            };
        }
        catch
        {
            mapped.Dispose();
            throw;
        }
    }

    /// <summary>A model over tensors from elsewhere, which must outlive it: tests and benchmarks make theirs in memory.</summary>
    internal static LlamaModel Create(
        LlamaConfig config,
        Func<string, StoredTensor> tensors,
        ProcessGroup group,
        LlamaModelOptions options,
        KernelSet kernels)
        => new(config, tensors, group, options, kernels, checkpoint: null, shard => CreateBackend(shard, kernels, progress: null));

    /// <summary>
    /// Lets the ranks agree on how sums travel, which may be from GPU to GPU. Every rank calls it, once and at the same time, before the first step.
    /// </summary>
    /// <returns>What the user should know of it, the end of a line; <see langword="null"/> for nothing.</returns>
    /// <exception cref="CollectiveException">A rank is lost.</exception>
    public string? Connect() => _backend.Connect();

    /// <inheritdoc/>
    public void Dispose()
    {
        _backend.Dispose();
        _checkpoint?.Dispose();
    }

    /// <summary>
    /// One sentence that says what is wrong with a step that rank 0 sent; <see langword="null"/> where nothing is, and its blocks are where the tokens go then.
    /// </summary>
    internal string? Accept(StepCommand command)
    {
        if (Limits.FindMistake(command) is { } mistake)
        {
            return mistake;
        }

        _tables.Apply(command.Blocks);
        return _tables.FindMistake(command);
    }

    /// <summary>Runs a step that was accepted, together with all other ranks.</summary>
    /// <param name="command">The step, the same on every rank.</param>
    /// <param name="answers">[rank, <see cref="StepAnswer"/>] of <see cref="StepCollectives.AnswerCount"/> ranks on rank 0, empty elsewhere.</param>
    internal void RunStep(StepCommand command, Span<byte> answers)
    {
        var start = Stopwatch.GetTimestamp();
        try
        {
            Compute(command, answers);
        }
        catch (Exception exception) when (exception is not CollectiveException)
        {
            // The other ranks would wait in a collective for one that does not come.
            Collectives.Abort($"Rank {Plan.Rank} failed in a step: {exception.Message}");
            throw;
        }

        _stepCount++;
        _stepTicks += Stopwatch.GetTimestamp() - start;
    }

    /// <summary>Whether the last step kept the logits of this output.</summary>
    internal bool IsRowKept(int output) => output >= 0 && output < _outputCount && _kept[output];

    /// <summary>
    /// This rank's slice of the logits of an output that the last step kept: [longest slice of any rank], its own first. Zeros on ranks that are not in the last
    /// stage.
    /// </summary>
    internal ReadOnlySpan<float> KeptRow(int output)
        => Plan.IsLastStage ? _backend.KeptRow(output) : _noRow ??= new float[Plan.MaxVocabularyCount];

    /// <summary>This rank's figures so far.</summary>
    internal RankStatistics GetStatistics()
    {
        using var process = Process.GetCurrentProcess();
        return new RankStatistics(
            process.PeakWorkingSet64,
            MappedByteCount,
            OwnedByteCount,
            _backend.ThreadCount,
            _stepCount,
            (long)Stopwatch.GetElapsedTime(0, _stepTicks).TotalMicroseconds,
            (long)Collectives.Elapsed.TotalMicroseconds);
    }

    /// <summary>Weights that were quantised are not read from the file again.</summary>
    private sealed class PageDropper(MappedCheckpoint checkpoint, IProgress<(long Done, long Total)>? next) : IProgress<(long Done, long Total)>
    {
        public void Report((long Done, long Total) value)
        {
            checkpoint.DropPages();
            next?.Report(value);
        }
    }

    private ShardPlan CreatePlan(Func<string, StoredTensor> tensors, int rank)
    {
        var split = Options.LayersPerStage;
        if (split.IsDefault && Mesh.StageCount == 1)
        {
            split = [Config.LayerCount];
        }
        else if (split.IsDefault)
        {
            var type = tensors(LlamaTensors.FirstMatrix).Type;
            split = LayerSplit.ByBytes(ModelBytes.Of(Config, type, Options.WeightFormat), Config.LayerCount, Mesh.StageCount);
        }
        else if (LayerSplit.FindMistake(split, Config.LayerCount, Mesh.StageCount) is { } mistake)
        {
            throw new CheckpointException($"The split {string.Join(',', split)} {mistake}.");
        }

        return ShardPlan.Create(Config, Mesh.StageSize, Mesh.IndexOf(rank), LayerSplit.LayersOf(split, Mesh.StageOf(rank)));
    }

    private static ComputeBackend CreateBackend(RankShard shard, KernelSet kernels, IProgress<(long Done, long Total)>? progress)
        => shard.Options.Torch is { } torch ? TorchSupport.Create(shard, torch, progress) : new ManagedBackend(shard, kernels, progress);

    private void Compute(StepCommand command, Span<byte> answers)
    {
        RememberOutputs(command.Outputs);
        _backend.BeginStep(command);
        var earlier = BadPart.None;
        if (_pipeline is null)
        {
            _backend.RunPart(0, command.Tokens.Length, input: [], output: []);
        }
        else
        {
            earlier = _pipeline.Run(_backend, new MicroBatches(command.Tokens.Length, Options.MicroBatchCount ?? MicroBatches.DefaultCount(Mesh.StageCount)));
        }

        if (!Collectives.IsAnswering)
        {
            return;
        }

        _pieces.Begin(command.Outputs);
        if (Plan.IsLastStage)
        {
            _backend.ComputeLogits(_pieces);
        }

        Collectives.GatherAnswers(_pieces.Finish(earlier.Earliest(new BadPart(_backend.FirstBadStage, Collectives.Rank))), answers, StepOperation.Logits);
    }

    private void RememberOutputs(ReadOnlySpan<StepOutput> outputs)
    {
        _outputCount = outputs.Length;
        for (var output = 0; output < outputs.Length; output++)
        {
            _kept[output] = outputs[output].Detail >= LogitsDetail.Candidates;
        }
    }
}
