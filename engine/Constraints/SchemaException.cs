namespace Distributed.Engine.Constraints;

/// <summary>
/// A JSON schema that cannot be enforced as it is: the message is one sentence for the user, with the place, the keyword and the next step.
/// </summary>
public sealed class SchemaException(string message) : Exception(message);
