namespace Distributed.Engine.Sampling;

/// <summary>
/// What an answer must match, as the tokens that may come next. It has the state of one answer and belongs to one request; the model's thread calls
/// it between a step and the next, so it must be quick.
/// </summary>
public abstract class TokenConstraint
{
    /// <summary>Whether the answer may end here: stop tokens may be drawn then, and only then.</summary>
    public abstract bool CanEnd { get; }

    /// <summary>The tokens that may come next, stop tokens aside.</summary>
    /// <returns>A bit a token id, the lowest first: [(vocabulary + 63) / 64]; valid until the next <see cref="Accept"/>. Ids beyond its end are not allowed.</returns>
    public abstract ReadOnlySpan<ulong> AllowedTokens();

    /// <summary>Takes note of the answer's next token, which is an allowed one and no stop token.</summary>
    public abstract void Accept(int tokenId);
}
