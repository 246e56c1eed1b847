namespace Distributed.Engine.Checkpoints;

/// <summary>
/// A checkpoint that cannot be used as it is. The message is one sentence for the user: the file or tensor, the value found, the rule,
/// and the next step.
/// </summary>
public sealed class CheckpointException(string message, Exception? inner = null) : Exception(message, inner);
