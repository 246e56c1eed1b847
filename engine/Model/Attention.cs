using Distributed.Engine.Kernels;
using Distributed.Engine.Parallel;

namespace Distributed.Engine.Model;

/// <summary>
/// hidden += wo . attention(wq . x, wk . x, wv . x) with x = norm(hidden), on this rank's heads, summed over ranks. Keys and values of the
/// step's tokens enter the cache first; then each token attends to its own sequence up to itself.
/// </summary>
internal sealed unsafe class Attention
{
    // Query heads that share a key-value head are computed together, but no more than these, which bounds the scratch memory.
    private const int MaxHeadsPerUnit = 8;

    // Multiply-adds that are worth a hand-over to another thread.
    private const long GrainLength = 32 << 10;

    private readonly ModelContext _context;
    private readonly ResidualStream _stream;
    private readonly KeyValueCache _cache;
    private readonly RotaryEmbedding _rotary;
    private readonly RangeBody _computeRotations;
    private readonly RangeBody _rotateTokens;
    private readonly RangeBody _attendUnits;
    private readonly RangeBody _arrangeTokens;
    private readonly float _scale;
    private readonly int _groupSize;
    private StepCommand _command = new();
    private ActivationLayout _outputLayout;
    private int _layer;
    private int _headsPerUnit;
    private int _unitsPerGroup;

    public Attention(ModelContext context, ResidualStream stream, KeyValueCache cache)
    {
        _context = context;
        _stream = stream;
        _cache = cache;
        _rotary = new RotaryEmbedding(context.Config);
        _scale = 1f / MathF.Sqrt(context.Config.HeadDimension);
        _groupSize = context.Config.HeadCount / context.Config.KeyValueHeadCount;
        _computeRotations = ComputeRotations;
        _rotateTokens = RotateTokens;
        _attendUnits = AttendUnits;
        _arrangeTokens = ArrangeTokens;
    }

    /// <summary>Computes what all layers of a step share: the rotations, and how the heads are shared out among the threads.</summary>
    public void BeginStep(StepCommand command)
    {
        _command = command;
        _context.Pool.For(command.Tokens.Length, ResidualStream.TokenGrain, _computeRotations);
        _headsPerUnit = Math.Min(_groupSize, MaxHeadsPerUnit);
        while (_headsPerUnit > 1 && command.Tokens.Length * _context.Plan.Heads.Count < _headsPerUnit * _context.Pool.ThreadCount)
        {
            _headsPerUnit = (_headsPerUnit + 1) / 2;
        }

        _unitsPerGroup = (_groupSize + _headsPerUnit - 1) / _headsPerUnit;
    }

    /// <summary>Runs one layer's attention for the step's tokens.</summary>
    public void Run(LlamaLayer weights, int layer)
    {
        var buffers = _context.Buffers;
        var tokenCount = _command.Tokens.Length;
        _layer = layer;
        _outputLayout = weights.AttentionOutput.InputLayout;
        _stream.Normalize(weights.AttentionNorm, weights.QueryKeyValue.InputLayout, tokenCount);
        weights.QueryKeyValue.Multiply(buffers.Arranged, tokenCount, buffers.QueryKeyValue, buffers.QueryKeyValueStride);
        _context.Pool.For(tokenCount, ResidualStream.TokenGrain, _rotateTokens);
        _context.Pool.For(tokenCount * _context.Plan.KeyValueHeads.Count * _unitsPerGroup, Grain(), _attendUnits);
        _context.Pool.For(tokenCount, ResidualStream.TokenGrain, _arrangeTokens);
        weights.AttentionOutput.Multiply(buffers.Arranged, tokenCount, buffers.Partial, _context.Config.Dimension);
        _stream.AddPartial(tokenCount, StepOperation.Attention, layer, StepStage.Attention(layer));
    }

    private void ComputeRotations(int start, int end)
    {
        for (var token = start; token < end; token++)
        {
            _rotary.ComputeRotations(_command.Tokens[token].Position, Rotations(token));
        }
    }

    // Queries and keys turn, and keys and values enter the cache.
    private void RotateTokens(int start, int end)
    {
        var heads = _context.Plan.Heads.Count;
        var keyValueHeads = _context.Plan.KeyValueHeads.Count;
        var dimension = _context.Config.HeadDimension;
        for (var index = start; index < end; index++)
        {
            var token = _command.Tokens[index];
            var rotations = Rotations(index);
            var query = _context.Buffers.QueryKeyValue + ((nint)index * _context.Buffers.QueryKeyValueStride);
            for (var head = 0; head < heads; head++, query += dimension)
            {
                _rotary.Rotate(query, rotations, Query(index, head));
            }

            var key = query;
            var value = key + (keyValueHeads * dimension);
            for (var head = 0; head < keyValueHeads; head++, key += dimension, value += dimension)
            {
                _rotary.Rotate(key, rotations, _cache.Key(_layer, token.Slot, head, token.Position));
                var cached = _cache.Value(_layer, token.Slot, head, token.Position);
                new ReadOnlySpan<float>(value, dimension).CopyTo(new Span<float>(cached, dimension));
            }
        }
    }

    // A unit is one token and some of the query heads that share a key-value head.
    private void AttendUnits(int start, int end)
    {
        var config = _context.Config;
        var padded = _cache.PaddedDimension;
        var scratch = stackalloc float[AttentionKernel.ScratchLength(_headsPerUnit, padded)];
        var unitsPerToken = _context.Plan.KeyValueHeads.Count * _unitsPerGroup;
        for (var unit = start; unit < end; unit++)
        {
            var index = unit / unitsPerToken;
            var keyValueHead = unit % unitsPerToken / _unitsPerGroup;
            var firstInGroup = unit % _unitsPerGroup * _headsPerUnit;
            var head = (keyValueHead * _groupSize) + firstInGroup;
            var token = _command.Tokens[index];
            _context.Kernels.Attend(new AttentionOperands
            {
                Queries = Query(index, head),
                Keys = _cache.Key(_layer, token.Slot, keyValueHead, 0),
                Values = _cache.Value(_layer, token.Slot, keyValueHead, 0),
                Output = _context.Buffers.Attended + ((((nint)index * _context.Plan.Heads.Count) + head) * config.HeadDimension),
                Scratch = scratch,
                HeadCount = Math.Min(_headsPerUnit, _groupSize - firstInGroup),
                HeadDimension = config.HeadDimension,
                PaddedDimension = padded,
                PositionCount = token.Position + 1,
                Scale = _scale,
            });
        }
    }

    private void ArrangeTokens(int start, int end)
    {
        var buffers = _context.Buffers;
        var width = (nint)_context.Plan.Heads.Count * _context.Config.HeadDimension;
        for (var token = start; token < end; token++)
        {
            _outputLayout.Arrange(buffers.Attended + (token * width), buffers.Arranged + ((nint)token * _outputLayout.PaddedLength));
        }
    }

    // The first token stands for all: what is shared out unevenly is balanced by taking chunks.
    private int Grain()
    {
        var unitLength = (_command.Tokens[0].Position + 1L) * _headsPerUnit * _cache.PaddedDimension * 2;
        return (int)Math.Clamp(GrainLength / unitLength, 1, int.MaxValue);
    }

    private float* Rotations(int token) => _context.Buffers.Rotations + ((nint)token * _context.Config.HeadDimension);

    private float* Query(int token, int head)
        => _context.Buffers.Queries + ((((nint)token * _context.Plan.Heads.Count) + head) * _cache.PaddedDimension);
}
