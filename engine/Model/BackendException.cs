namespace Distributed.Engine.Model;

/// <summary>The backend that was asked for cannot compute here; the message is one sentence that says why and what to do.</summary>
public sealed class BackendException(string message) : Exception(message);
