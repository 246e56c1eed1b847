using Distributed.Engine.Kernels;
using Distributed.Engine.Nccl;
using Distributed.Engine.Parallel;

namespace Distributed.Engine.Model;

/// <summary>The processor's vector instructions on weights where the files are mapped: the default backend, which needs nothing else.</summary>
internal sealed unsafe class ManagedBackend : ComputeBackend
{
    private readonly ModelContext _context;
    private readonly LlamaWeights _weights;
    private readonly KeyValueCache _cache;
    private readonly TokenEmbedding? _embedding; // on the first stage
    private readonly Attention _attention;
    private readonly FeedForward _feedForward;
    private readonly LogitsHead? _head; // on the last stage
    private StepCommand _command = new();

    /// <param name="shard">This rank's part.</param>
    /// <param name="kernels">Arithmetic.</param>
    /// <param name="progress">Told of the layers that are ready, of all.</param>
    /// <exception cref="Checkpoints.CheckpointException">A tensor is stored in a way that cannot be used.</exception>
    public ManagedBackend(RankShard shard, KernelSet kernels, IProgress<(long Done, long Total)>? progress = null)
    {
        var (config, options, plan) = (shard.Config, shard.Options, shard.Plan);
        var pool = new ComputePool(options.ThreadCount, $"rank {shard.Collectives.Rank} compute", options.FirstProcessor);
        try
        {
            _weights = new LlamaWeights(config, plan, shard.Tensors, options.WeightFormat, options.MatmulPrecision, kernels, pool, progress);
        }
        catch
        {
            pool.Dispose();
            throw;
        }

        _cache = new KeyValueCache(
            plan.Layers.Count, options.CacheBlockCount, plan.KeyValueHeads.Count, new CacheLayout(options.CacheFormat, config.HeadDimension));
        var buffers = new ActivationBuffers(config, plan, _weights, _cache.Layout.PaddedDimension, options.MaxTokensPerStep);
        _context = new ModelContext(config, options, plan, kernels, pool, shard.Collectives, buffers);
        var stream = new ResidualStream(_context);
        _embedding = _weights.Embedding is { } table ? new TokenEmbedding(_context, table) : null;
        _attention = new Attention(_context, stream, _cache, shard.Blocks);
        _feedForward = new FeedForward(_context, stream);
        _head = _weights.Output is { } output ? new LogitsHead(_context, _weights.Norm!, output) : null;
    }

    public override string Description => _context.Kernels.Name;

    public override int ThreadCount => _context.Pool.ThreadCount;

    public override long MatrixByteCount => _weights.MatrixByteCount;

    public override long MappedByteCount => _weights.MappedByteCount;

    public override long OwnedByteCount
        => _weights.OwnedByteCount + _cache.ByteCount + _context.Buffers.ByteCount + (_head?.ByteCount ?? 0);

    public override int FirstBadStage => _context.FirstBadStage;

    public override string? Connect()
        => NcclAgreement.Reach(_context.Collectives, new NcclPeer(NcclReadiness.NoDevice, 0), library: null, bindDevice: () => { }, out _);

    public override void BeginStep(StepCommand command)
    {
        _command = command;
        _context.BeginStep();
    }

    public override void RunPart(int start, int count, ReadOnlySpan<float> input, Span<float> output)
    {
        _context.BeginPart(start);
        var hidden = new Span<float>(_context.Hidden, count * _context.Config.Dimension);
        if (_embedding is null)
        {
            input.CopyTo(hidden);
        }
        else
        {
            _embedding.Embed(_command.Tokens.Slice(start, count));
        }

        _attention.BeginPart(_command, start, count);
        for (var index = 0; index < _weights.Layers.Length; index++)
        {
            var layer = _context.Plan.Layers.Start + index;
            _attention.Run(_weights.Layers[index], index);
            Observer?.Invoke(layer, isFeedForward: false, hidden);
            _feedForward.Run(_weights.Layers[index], layer, count);
            Observer?.Invoke(layer, isFeedForward: true, hidden);
        }

        if (!output.IsEmpty)
        {
            hidden.CopyTo(output);
        }
    }

    public override void ComputeLogits(StepPieces pieces) => Head.Run(_command, pieces);

    public override ReadOnlySpan<float> KeptRow(int output) => Head.KeptRow(output);

    public override void Dispose()
    {
        _context.Pool.Dispose();
        _head?.Dispose();
        _cache.Dispose();
        _context.Buffers.Dispose();
        _weights.Dispose();
    }

    private LogitsHead Head => _head ?? throw new InvalidOperationException("Only the last stage has logits.");
}
