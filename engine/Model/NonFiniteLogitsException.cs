namespace Distributed.Engine.Model;

/// <summary>
/// A step computed an infinity or NaN. Its results are void, and so is what it wrote to the cache; the next step can run.
/// </summary>
public sealed class NonFiniteLogitsException(string message, int rank, int? layer) : Exception(message)
{
    /// <summary>The rank whose own arithmetic went wrong first.</summary>
    public int Rank { get; } = rank;

    /// <summary>The layer; <see langword="null"/> for the embedding and the logits.</summary>
    public int? Layer { get; } = layer;
}
