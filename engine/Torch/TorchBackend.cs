using Distributed.Engine.Model;
using Distributed.Engine.Nccl;
using Distributed.Engine.Parallel;
using static TorchSharp.torch;

namespace Distributed.Engine.Torch;

/// <summary>
/// libtorch's kernels, on a GPU or the processor: weights and cache are copies on the device, in 16 or 32 bits, and so is all that flows from layer
/// to layer, in float32. Every tensor of a step belongs to a scope that ends with it.
/// </summary>
/// <remarks>
/// Results are those of the managed backend within the rounding of the type, not its bits. A step allocates objects for its tensors, as TorchSharp
/// has one for each.
/// </remarks>
internal sealed class TorchBackend : ComputeBackend
{
    private readonly RankShard _shard;
    private readonly TorchDevice _device;
    private readonly TorchWeights _weights;
    private readonly TorchCache _cache;
    private readonly TorchTransfer _transfer;
    private readonly TorchSums _sums;
    private readonly TorchAttention _attention;
    private readonly TorchLogits? _logits; // on the last stage
    private readonly Tensor _hidden; // [token of the step, dimension]
    private readonly TorchOptions _options;
    private StepCommand _command = new();
    private int _firstBadStage = StepStage.None;

    /// <param name="shard">This rank's part.</param>
    /// <param name="options">Device and type.</param>
    /// <param name="progress">Told of the layers that are on the device, of all.</param>
    /// <exception cref="BackendException">Device or library are missing, or its memory does not suffice.</exception>
    public TorchBackend(RankShard shard, TorchOptions options, IProgress<(long Done, long Total)>? progress)
    {
        (_shard, _options) = (shard, options);
        var (config, plan) = (shard.Config, shard.Plan);
        _device = TorchDevice.Open(options, shard.Tensors($"layers.{plan.Layers.Start}.attention.wq.weight").Type, shard.Options.ThreadCount);
        var heads = new TorchHeads(config, plan);
        var owned = new Stack<IDisposable>();
        try
        {
            using var gradients = no_grad();
            owned.Push(_weights = new TorchWeights(shard, heads, _device, progress));
            owned.Push(_cache = new TorchCache(plan.Layers.Count, shard.Options.CacheBlockCount, heads.KeyValueHeads.Count, config.HeadDimension, _device));
            owned.Push(_transfer = new TorchTransfer(_device, shard.Options.MaxTokensPerStep, config.Dimension));
            owned.Push(_hidden = zeros(shard.Options.MaxTokensPerStep, config.Dimension, dtype: ScalarType.Float32, device: _device.Device));
            _sums = new TorchSums(shard.Collectives, _transfer);
            _attention = new TorchAttention(shard, heads, _cache, _device);
            _logits = _weights.Output is { } output ? new TorchLogits(shard, _device, _weights.Norm!, output) : null; // both on the last stage
        }
        catch (Exception exception)
        {
            while (owned.TryPop(out var part))
            {
                part.Dispose();
            }

            if (TorchErrors.IsOutOfMemory(exception))
            {
                throw new BackendException(TorchErrors.OutOfMemory(shard, _device));
            }

            throw;
        }
    }

    public override string Description => _device.Description;

    public override int ThreadCount => _shard.Options.ThreadCount;

    public override long MatrixByteCount => _weights.MatrixByteCount;

    public override long MappedByteCount => 0;

    public override long OwnedByteCount => _weights.MatrixByteCount + _cache.ByteCount + (2 * _transfer.ByteCount);

    public override int FirstBadStage => _firstBadStage;

    public override string? Connect()
    {
        var library = _device.IsHost || !TorchSums.HasPointers ? null : NcclLibrary.TryLoad();
        var readiness = _device.IsHost ? NcclReadiness.NoDevice
            : _options.Nccl == NcclUse.Never ? NcclReadiness.NotWanted
            : !TorchSums.HasPointers ? NcclReadiness.NoPointers
            : library is null ? NcclReadiness.NoLibrary : NcclReadiness.Ready;
        var said = NcclAgreement.Reach(
            _shard.Collectives, new NcclPeer(readiness, _device.Identity), library, () => CudaDriver.MakeCurrent(_device.Device.index), out var communicator);
        if (communicator is not null)
        {
            _sums.Use(communicator);
        }

        return said;
    }

    public override void BeginStep(StepCommand command)
    {
        _command = command;
        _firstBadStage = StepStage.None;
        _logits?.BeginStep();
    }

    public override void RunPart(int start, int count, ReadOnlySpan<float> input, Span<float> output)
    {
        using var gradients = no_grad();
        using var scope = NewDisposeScope();
        var hidden = _hidden.narrow(0, start, count);
        var host = _transfer.Rows(count);
        Read(start, input, host);
        _transfer.Upload(hidden);
        _attention.BeginPart(_command.Tokens.Slice(start, count));

        // What is not finite leaves a sum that is not finite; the sums come to the host together, when the part is done.
        var checks = new List<(int Stage, Tensor Sum)> { (StepStage.Embedding, hidden.sum()) };
        for (var index = 0; index < _weights.Layers.Count; index++)
        {
            RunLayer(index, hidden, checks);
        }

        Check(checks);
        if (!output.IsEmpty)
        {
            _transfer.Download(hidden).CopyTo(output);
        }
    }

    public override void ComputeLogits(StepPieces pieces)
    {
        using var gradients = no_grad();
        if (!Logits.Run(_command, _hidden, pieces))
        {
            _firstBadStage = Math.Min(_firstBadStage, StepStage.Logits(_shard.Config.LayerCount));
        }
    }

    public override ReadOnlySpan<float> KeptRow(int output) => Logits.KeptRow(output);

    public override void Dispose()
    {
        _sums.Dispose();
        _logits?.Dispose();
        _hidden.Dispose();
        _transfer.Dispose();
        _cache.Dispose();
        _weights.Dispose();
    }

    private TorchLogits Logits => _logits ?? throw new InvalidOperationException("Only the last stage has logits.");

    private void Read(int start, ReadOnlySpan<float> input, Span<float> host)
    {
        if (_weights.Embedding is not { } embedding)
        {
            input.CopyTo(host);
            return;
        }

        var dimension = _shard.Config.Dimension;
        for (var token = 0; token < host.Length / dimension; token++)
        {
            embedding.ReadRow(_command.Tokens[start + token].TokenId, host.Slice(token * dimension, dimension));
        }
    }

    private void RunLayer(int index, Tensor hidden, List<(int Stage, Tensor Sum)> checks)
    {
        using var scope = NewDisposeScope();
        var (weights, epsilon) = (_weights.Layers[index], _shard.Config.NormEpsilon);
        var layer = _shard.Plan.Layers.Start + index;
        Add(
            hidden,
            _attention.Run(weights, index, layer, TorchMath.RmsNorm(hidden, weights.AttentionNorm, epsilon)),
            StepOperation.Attention,
            layer,
            StepStage.Attention(layer),
            checks);
        Observe(hidden, layer, isFeedForward: false);
        Add(
            hidden,
            FeedForward(weights, TorchMath.RmsNorm(hidden, weights.FeedForwardNorm, epsilon)),
            StepOperation.FeedForward,
            layer,
            StepStage.FeedForward(layer),
            checks);
        Observe(hidden, layer, isFeedForward: true);
    }

    // w2 . (silu(w1 . x) * (w3 . x)) on this rank's hidden units
    private static Tensor? FeedForward(TorchLayer weights, Tensor input)
    {
        if (weights.GateUp is not { } gateUp || weights.Down is not { } down)
        {
            return null;
        }

        var both = gateUp.Multiply(input);
        var units = both.shape[1] / 2;
        return down.Multiply(both.narrow(1, 0, units).silu().mul(both.narrow(1, units, units)));
    }

    // hidden += the sum of all ranks' parts
    private void Add(Tensor hidden, Tensor? part, StepOperation operation, int layer, int stage, List<(int Stage, Tensor Sum)> checks)
    {
        var own = (part ?? zeros_like(hidden)).contiguous();
        checks.Add((stage, own.sum().MoveToOuterDisposeScope()));
        _sums.AllReduce(own, operation, layer);
        _ = hidden.add_(own);
    }

    private void Check(List<(int Stage, Tensor Sum)> checks)
    {
        using var sums = stack(checks.Select(check => check.Sum)).cpu();
        var values = System.Runtime.InteropServices.MemoryMarshal.Cast<byte, float>(sums.bytes);
        for (var i = 0; i < values.Length; i++)
        {
            if (!float.IsFinite(values[i]))
            {
                _firstBadStage = Math.Min(_firstBadStage, checks[i].Stage);
                return;
            }
        }
    }

    private void Observe(Tensor hidden, int layer, bool isFeedForward)
    {
        if (Observer is { } observer)
        {
            observer(layer, isFeedForward, _transfer.Download(hidden));
        }
    }
}
