using Distributed.Engine.Sampling;

namespace Distributed.Engine.Constraints;

/// <summary>The state of one answer on its way through a grammar.</summary>
internal sealed class JsonConstraint : TokenConstraint
{
    private readonly ConstraintMachine _machine;
    private readonly ulong[] _mask;
    private Configuration _configuration;
    private int _generation;
    private bool _isFilled;

    public JsonConstraint(ConstraintMachine machine)
    {
        (_machine, _mask) = (machine, new ulong[machine.MaskLength]);
        (_configuration, _generation) = machine.Start();
    }

    /// <inheritdoc/>
    public override bool CanEnd => _configuration.IsComplete;

    /// <inheritdoc/>
    public override ReadOnlySpan<ulong> AllowedTokens()
    {
        if (!_isFilled)
        {
            _configuration = _machine.FillMask(_configuration, _mask, ref _generation);
            _isFilled = true;
        }

        return _mask;
    }

    /// <inheritdoc/>
    /// <exception cref="ArgumentOutOfRangeException">The token is not allowed here; the state is as before.</exception>
    public override void Accept(int tokenId)
    {
        _configuration = _machine.Accept(_configuration, tokenId, ref _generation)
            ?? throw new ArgumentOutOfRangeException(nameof(tokenId), tokenId, "This token is not allowed here.");
        _isFilled = false;
    }
}
