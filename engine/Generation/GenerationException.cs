namespace Distributed.Engine.Generation;

/// <summary>
/// A request that cannot be generated as it is: the message is one sentence for the user, with the value, the rule and the next step.
/// Nothing was run.
/// </summary>
public sealed class GenerationException(string message) : Exception(message);
