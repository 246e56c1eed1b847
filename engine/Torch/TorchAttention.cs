using Distributed.Engine.Checkpoints;
using Distributed.Engine.Model;
using Distributed.Engine.Parallel;
using static TorchSharp.torch;

namespace Distributed.Engine.Torch;

/// <summary>wo . attention(wq . x, wk . x, wv . x) on this rank's heads. Scores, softmax and sums are float32, whatever the weights are.</summary>
internal sealed unsafe class TorchAttention
{
    // Scores of a span over all heads of this rank: 256 MiB of them at most, and as much again while they are normalised.
    private const long MaxScoreCount = 64L << 20;

    private readonly LlamaConfig _config;
    private readonly TorchHeads _heads;
    private readonly TorchCache _cache;
    private readonly TorchDevice _device;
    private readonly BlockTables _tables;
    private readonly RotaryEmbedding _rotary;
    private readonly float _scale;
    private Tensor? _cosines; // [token, 1, pair]
    private Tensor? _sines; // [token, 1, pair]
    private Tensor? _places; // [token], in the cache
    private List<AttentionSpan> _spans = [];
    private List<AttentionSpan> _windowedSpans = [];

    public TorchAttention(RankShard shard, TorchHeads heads, TorchCache cache, TorchDevice device)
    {
        (_config, _heads, _cache, _device, _tables) = (shard.Config, heads, cache, device, shard.Blocks);
        _rotary = new RotaryEmbedding(shard.Config);
        _scale = 1f / MathF.Sqrt(shard.Config.HeadDimension);
    }

    /// <summary>Computes what all layers of a part share, in tensors that belong to the caller's scope.</summary>
    /// <param name="tokens">The part.</param>
    public void BeginPart(ReadOnlySpan<StepToken> tokens)
    {
        var pairs = _rotary.PairCount;
        var (cosines, sines) = (new float[tokens.Length * pairs], new float[tokens.Length * pairs]);
        var places = new long[tokens.Length];
        var rotations = new float[2 * pairs];
        for (var index = 0; index < tokens.Length; index++)
        {
            fixed (float* pointer = rotations)
            {
                _rotary.ComputeRotations(tokens[index].Position, pointer);
            }

            for (var pair = 0; pair < pairs; pair++)
            {
                cosines[(index * pairs) + pair] = rotations[2 * pair];
                sines[(index * pairs) + pair] = rotations[(2 * pair) + 1];
            }

            places[index] = ((long)_tables.BlockOf(tokens[index].Slot, tokens[index].Position) * KeyValueCache.BlockLength)
                + (tokens[index].Position % KeyValueCache.BlockLength);
        }

        _cosines = tensor(cosines, [tokens.Length, 1, pairs], device: _device.Device);
        _sines = tensor(sines, [tokens.Length, 1, pairs], device: _device.Device);
        _places = tensor(places, device: _device.Device);
        var limit = MaxScoreCount / Math.Max(1, _heads.QueryCount);
        _spans = AttentionSpan.Cut(tokens, _tables, window: 0, limit, _device.Device);
        _windowedSpans = _config.SlidingWindow == 0 ? _spans : AttentionSpan.Cut(tokens, _tables, _config.SlidingWindow, limit, _device.Device);
    }

    /// <summary>One layer's attention for the part's tokens; their keys and values enter the cache first.</summary>
    /// <param name="weights">The layer's weights.</param>
    /// <param name="index">The layer, counted in this stage.</param>
    /// <param name="layer">The layer, counted in the model.</param>
    /// <param name="input">[token, dimension], normalised.</param>
    /// <returns>[token, dimension] float32, this rank's part of the sum; <see langword="null"/> where it has no heads.</returns>
    public Tensor? Run(TorchLayer weights, int index, int layer, Tensor input)
    {
        if (weights.QueryKeyValue is not { } projection || weights.AttentionOutput is not { } output)
        {
            return null;
        }

        var (queries, keyValues, width) = (_heads.QueryCount, _heads.KeyValueHeads.Count, _config.HeadDimension);
        var tokenCount = input.shape[0];
        var projected = projection.Multiply(input);
        if (weights.QueryKeyValueBias is { } bias)
        {
            projected = projected.add(bias);
        }

        var all = projected.view(tokenCount, queries + (2 * keyValues), width);
        var turning = all.narrow(1, 0, queries + keyValues);
        if (weights.QueryKeyNorm is { } norm)
        {
            turning = TorchMath.RmsNorm(turning, norm, _config.NormEpsilon);
        }

        var turned = Rotate(turning);
        _cache.Write(index, _places!, turned.narrow(1, queries, keyValues), all.narrow(1, queries + keyValues, keyValues)); // set by BeginPart
        var scaled = turned.narrow(1, 0, queries).mul(_scale);
        var spans = _config.SlidingWindow > 0 && layer >= _config.FirstSlidingLayer ? _windowedSpans : _spans;
        var attended = spans.Count == 1
            ? Attend(spans[0], index, scaled)
            : cat(spans.Select(span => Attend(span, index, scaled.narrow(0, span.Start, span.Count))).ToArray(), 0);
        return output.Multiply(attended);
    }

    // [token, head, width] -> [token, head x width]
    private Tensor Attend(AttentionSpan span, int index, Tensor queries)
    {
        using var scope = NewDisposeScope();
        var (keyValues, group, width) = ((long)_heads.KeyValueHeads.Count, (long)_heads.GroupSize, (long)_config.HeadDimension);
        var keys = _cache.Keys(index, span);
        var values = _cache.Values(index, span);
        Tensor attended;
        if (span.SequenceCount == 1)
        {
            // [head, group x token, position]
            var rows = queries.view(span.Count, keyValues, group, width).permute(1, 2, 0, 3).reshape(keyValues, group * span.Count, width);
            var scores = rows.matmul(keys.transpose(1, 2));
            if (span.Mask is { } mask)
            {
                _ = scores.view(keyValues, group, span.Count, span.Length).masked_fill_(mask, float.NegativeInfinity);
            }

            attended = scores.softmax(-1).matmul(values).view(keyValues, group, span.Count, width).permute(2, 0, 1, 3);
        }
        else
        {
            // [head, sequence, group, position]. What is masked may be another sequence's, NaN even, and 0 x NaN is NaN.
            var rows = queries.view(span.Count, keyValues, group, width).permute(1, 0, 2, 3);
            var scores = rows.matmul(keys.view(keyValues, span.SequenceCount, span.Length, width).transpose(2, 3));
            _ = scores.masked_fill_(span.Mask!, float.NegativeInfinity); // several sequences have one
            var own = values.view(keyValues, span.SequenceCount, span.Length, width).masked_fill(span.Mask!.transpose(1, 2), 0f);
            attended = scores.softmax(-1).matmul(own).permute(1, 0, 2, 3);
        }

        return attended.reshape(span.Count, keyValues * group * width).MoveToOuterDisposeScope();
    }

    // The two elements of a pair lie side by side or half a head apart; turned, always half a head apart, which changes no dot product.
    private Tensor Rotate(Tensor heads)
    {
        var pairs = _rotary.PairCount;
        var apart = _config.RotatesHalves ? null : heads.view(heads.shape[0], heads.shape[1], pairs, 2);
        var first = apart?.select(3, 0) ?? heads.narrow(2, 0, pairs);
        var second = apart?.select(3, 1) ?? heads.narrow(2, pairs, pairs);
        var (cosines, sines) = (_cosines!, _sines!); // set by BeginPart
        return cat(
            new[] { first.mul(cosines).sub(second.mul(sines)), first.mul(sines).add(second.mul(cosines)) }, 2);
    }
}
