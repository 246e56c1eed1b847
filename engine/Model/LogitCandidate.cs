namespace Distributed.Engine.Model;

/// <summary>A token and its raw logit.</summary>
public readonly record struct LogitCandidate(int TokenId, float Logit);
