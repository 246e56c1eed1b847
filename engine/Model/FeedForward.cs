using Distributed.Engine.Kernels;
using Distributed.Engine.Weights;

namespace Distributed.Engine.Model;

/// <summary>hidden += w2 . (silu(w1 . x) * (w3 . x)) with x = norm(hidden), on this rank's hidden units, summed over ranks.</summary>
internal sealed unsafe class FeedForward
{
    private readonly ModelContext _context;
    private readonly ResidualStream _stream;
    private readonly RangeBody _activateTokens;
    private RowParallelLayer? _down;

    public FeedForward(ModelContext context, ResidualStream stream)
    {
        _context = context;
        _stream = stream;
        _activateTokens = ActivateTokens;
    }

    /// <summary>Runs one layer's feed-forward part for the part's tokens.</summary>
    public void Run(LlamaLayer weights, int layer, int tokenCount)
    {
        var buffers = _context.Buffers;
        _down = weights.Down;
        _stream.Normalize(weights.FeedForwardNorm, weights.GateUp.InputLayout, tokenCount);
        weights.GateUp.Multiply(buffers.Arranged, tokenCount, buffers.GateUp, weights.GateUp.RowCount);
        _context.Pool.For(tokenCount, ResidualStream.TokenGrain, _activateTokens);
        weights.Down.Multiply(buffers.Arranged, tokenCount, buffers.Partial, buffers.Segments);
        _stream.AddPartial(tokenCount, StepOperation.FeedForward, layer, StepStage.FeedForward(layer));
    }

    private void ActivateTokens(int start, int end)
    {
        var buffers = _context.Buffers;
        var hidden = _context.Plan.Hidden.Count;
        var down = _down!; // set by Run
        for (var token = start; token < end; token++)
        {
            var gate = buffers.GateUp + (2 * (nint)token * hidden);
            _context.Kernels.SwiGlu(gate, gate + hidden, gate, hidden);
            down.Arrange(gate, buffers.Arranged + ((nint)token * down.PaddedLength));
        }
    }
}
