namespace Distributed.Engine.Model;

/// <summary>A token and its raw logit.</summary>
public readonly record struct LogitCandidate(int TokenId, float Logit)
{
    /// <summary>The end of a list that has fewer candidates than places.</summary>
    internal static LogitCandidate None => new(-1, float.NegativeInfinity);
}
