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
    private readonly BlockTables _tables;
    private readonly RotaryEmbedding _rotary;
    private readonly RangeBody _computeRotations;
    private readonly RangeBody _rotateTokens;
    private readonly RangeBody _attendUnits;
    private readonly RangeBody _arrangeTokens;
    private readonly float _scale;
    private readonly AttentionUnit[][] _unitsByLength; // [greatest number of heads of a unit]
    private StepCommand _command = new();
    private LlamaLayer? _weights;
    private int _start; // the first token of the part
    private int _tokenCount; // of the part
    private int _layer; // among this rank's
    private AttentionUnit[] _units = []; // [unit of a token]

    public Attention(ModelContext context, ResidualStream stream, KeyValueCache cache, BlockTables tables)
    {
        _context = context;
        _stream = stream;
        _cache = cache;
        _tables = tables;
        _rotary = new RotaryEmbedding(context.Config);
        _scale = 1f / MathF.Sqrt(context.Config.HeadDimension);
        var groupSize = context.Config.HeadCount / context.Config.KeyValueHeadCount;
        _unitsByLength =
        [
            .. Enumerable.Range(0, Math.Min(groupSize, MaxHeadsPerUnit) + 1).Select(length => AttentionUnit.Cut(context.Plan, groupSize, length)),
        ];
        _computeRotations = ComputeRotations;
        _rotateTokens = RotateTokens;
        _attendUnits = AttendUnits;
        _arrangeTokens = ArrangeTokens;
    }

    /// <summary>
    /// Computes what all layers share that these tokens of a step pass through: the rotations, and how the heads are shared out among the threads.
    /// </summary>
    public void BeginPart(StepCommand command, int start, int count)
    {
        (_command, _start, _tokenCount) = (command, start, count);
        _context.Pool.For(count, ResidualStream.TokenGrain, _computeRotations);
        var length = _unitsByLength.Length - 1;
        while (length > 1 && count * _context.Plan.Heads.Count < length * _context.Pool.ThreadCount)
        {
            length = (length + 1) / 2;
        }

        _units = _unitsByLength[length];
    }

    /// <summary>Runs one layer's attention for the part's tokens.</summary>
    /// <param name="weights">The layer.</param>
    /// <param name="index">Its number among this rank's layers.</param>
    public void Run(LlamaLayer weights, int index)
    {
        var buffers = _context.Buffers;
        var (tokenCount, layer) = (_tokenCount, _context.Plan.Layers.Start + index);
        _layer = index;
        _weights = weights;
        _stream.Normalize(weights.AttentionNorm, weights.QueryKeyValue.InputLayout, tokenCount);
        weights.QueryKeyValue.Multiply(buffers.Arranged, tokenCount, buffers.QueryKeyValue, buffers.QueryKeyValueStride);
        _context.Pool.For(tokenCount, ResidualStream.TokenGrain, _rotateTokens);
        _context.Pool.For(tokenCount * _units.Length, Grain(), _attendUnits);
        _context.Pool.For(tokenCount, ResidualStream.TokenGrain, _arrangeTokens);
        weights.AttentionOutput.Multiply(buffers.Arranged, tokenCount, buffers.Partial, buffers.Segments);
        _stream.AddPartial(tokenCount, StepOperation.Attention, layer, StepStage.Attention(layer));
    }

    private void ComputeRotations(int start, int end)
    {
        for (var token = start; token < end; token++)
        {
            _rotary.ComputeRotations(_command.Tokens[_start + token].Position, Rotations(token));
        }
    }

    // Biases and norms where the model has them; then queries and keys turn, and keys and values enter the cache.
    private void RotateTokens(int start, int end)
    {
        var heads = _context.Plan.Heads.Count;
        var keyValueHeads = _context.Plan.KeyValueHeads.Count;
        var dimension = _context.Config.HeadDimension;
        var weights = _weights!; // set by Run
        var rotated = stackalloc float[dimension];
        for (var index = start; index < end; index++)
        {
            var token = _command.Tokens[_start + index];
            var rotations = Rotations(index);
            var query = _context.Buffers.QueryKeyValue + ((nint)index * _context.Buffers.QueryKeyValueStride);
            if (weights.QueryKeyValueBias is { } bias)
            {
                _context.Kernels.Add(query, bias.Data, _context.Buffers.QueryKeyValueStride);
            }

            for (var head = 0; head < heads; head++, query += dimension)
            {
                NormalizeHead(query, weights.QueryNorm);
                _rotary.Rotate(query, rotations, Query(index, head));
            }

            var key = query;
            var block = _tables.BlockOf(token.Slot, token.Position);
            var value = key + (keyValueHeads * dimension);
            for (var head = 0; head < keyValueHeads; head++, key += dimension, value += dimension)
            {
                NormalizeHead(key, weights.KeyNorm);
                _rotary.Rotate(key, rotations, rotated);
                _cache.Store(_layer, head, block, token.Position, rotated, value);
            }
        }
    }

    private void AttendUnits(int start, int end)
    {
        var config = _context.Config;
        var padded = _cache.Layout.PaddedDimension;
        var window = _context.Plan.Layers.Start + _layer >= config.FirstSlidingLayer ? config.SlidingWindow : 0;
        var scratch = stackalloc float[AttentionKernel.ScratchLength(_unitsByLength.Length - 1, padded)];
        for (var number = start; number < end; number++)
        {
            var index = number / _units.Length;
            var unit = _units[number % _units.Length];
            var token = _command.Tokens[_start + index];
            _context.Kernels.Attend(new AttentionOperands
            {
                Queries = Query(index, unit.Head),
                Keys = _cache.Keys(_layer, unit.KeyValueHead),
                Values = _cache.Values(_layer, unit.KeyValueHead),
                Blocks = _tables.Of(token.Slot),
                BlockByteCount = _cache.BlockByteCount,
                Cache = _cache.Layout,
                Output = _context.Buffers.Attended + ((((nint)index * _context.Plan.Heads.Count) + unit.Head) * config.HeadDimension),
                Scratch = scratch,
                HeadCount = unit.HeadCount,
                HeadDimension = config.HeadDimension,
                FirstPosition = window == 0 ? 0 : Math.Max(0, token.Position + 1 - window),
                PositionCount = token.Position + 1,
                Prefetches = index == 0 || _command.Tokens[_start + index - 1].Slot != token.Slot,
                Scale = _scale,
            });
        }
    }

    private void ArrangeTokens(int start, int end)
    {
        var buffers = _context.Buffers;
        var output = _weights!.AttentionOutput; // set by Run
        var width = (nint)_context.Plan.Heads.Count * _context.Config.HeadDimension;
        for (var token = start; token < end; token++)
        {
            output.Arrange(buffers.Attended + (token * width), buffers.Arranged + ((nint)token * output.PaddedLength));
        }
    }

    private void NormalizeHead(float* head, NativeBuffer? weight)
    {
        if (weight is not null)
        {
            _context.Kernels.RmsNorm(head, weight.Data, head, _context.Config.HeadDimension, _context.Config.NormEpsilon);
        }
    }

    // The first token stands for all: what is shared out unevenly is balanced by taking chunks.
    private int Grain()
    {
        var heads = _units.Length == 0 ? 1 : _units[0].HeadCount;
        var unitLength = (_command.Tokens[_start].Position + 1L) * heads * _cache.Layout.PaddedDimension * 2;
        return (int)Math.Clamp(GrainLength / unitLength, 1, int.MaxValue);
    }

    private float* Rotations(int token) => _context.Buffers.Rotations + ((nint)token * _context.Config.HeadDimension);

    private float* Query(int token, int head)
        => _context.Buffers.Queries + ((((nint)token * _context.Plan.Heads.Count) + head) * _cache.Layout.PaddedDimension);
}
