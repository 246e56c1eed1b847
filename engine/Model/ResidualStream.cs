using Distributed.Engine.Kernels;

namespace Distributed.Engine.Model;

/// <summary>What flows from layer to layer: each part reads it through a norm and adds its result to it.</summary>
internal sealed unsafe class ResidualStream
{
    /// <summary>Tokens that are worth a hand-over to another thread in loops that do little for each.</summary>
    public const int TokenGrain = 4;

    private readonly ModelContext _context;
    private readonly RangeBody _normalizeTokens;
    private readonly RangeBody _addTokens;
    private float* _weight;
    private ActivationLayout _layout;

    public ResidualStream(ModelContext context)
    {
        _context = context;
        _normalizeTokens = NormalizeTokens;
        _addTokens = AddTokens;
    }

    /// <summary>Arranged[token] = norm(Hidden[token]) for a linear layer whose inputs lie as <paramref name="layout"/> says.</summary>
    public void Normalize(NativeBuffer weight, ActivationLayout layout, int tokenCount)
    {
        _weight = weight.Data;
        _layout = layout;
        _context.Pool.For(tokenCount, TokenGrain, _normalizeTokens);
    }

    /// <summary>Hidden += the sum of all ranks' Partial, both [token, dimension]; notes whether this rank's part was finite.</summary>
    public void AddPartial(int tokenCount, StepOperation operation, int layer, int stage)
    {
        var length = tokenCount * _context.Config.Dimension;
        _context.CheckFinite(_context.Buffers.Partial, length, stage);
        _context.Collectives.AllReduce(new Span<float>(_context.Buffers.Partial, length), operation, layer);
        _context.Pool.For(tokenCount, TokenGrain, _addTokens);
    }

    private void NormalizeTokens(int start, int end)
    {
        var dimension = _context.Config.Dimension;
        var buffers = _context.Buffers;
        for (var token = start; token < end; token++)
        {
            // Partial is free between two sums.
            var normalized = buffers.Partial + ((nint)token * dimension);
            _context.Kernels.RmsNorm(
                _context.Hidden + ((nint)token * dimension), _weight, normalized, dimension, _context.Config.NormEpsilon);
            _layout.Arrange(normalized, buffers.Arranged + ((nint)token * _layout.PaddedLength));
        }
    }

    private void AddTokens(int start, int end)
    {
        var dimension = _context.Config.Dimension;
        var offset = (nint)start * dimension;
        _context.Kernels.Add(_context.Hidden + offset, _context.Buffers.Partial + offset, (end - start) * dimension);
    }
}
