namespace Distributed.Engine.Serving;

/// <summary>A request was not taken; nothing of it is kept.</summary>
/// <param name="message">One sentence with the limit.</param>
/// <param name="retryAfter">From 1 s to 60 s.</param>
/// <param name="isDraining">Whether the server is going down, so that the request should go elsewhere.</param>
public sealed class QueueFullException(string message, TimeSpan retryAfter, bool isDraining) : Exception(message)
{
    /// <summary>When there will likely be room, by how fast the queue has moved of late; 1 s to 60 s.</summary>
    public TimeSpan RetryAfter { get; } = retryAfter;

    /// <summary>Whether the scheduler takes no more requests at all.</summary>
    public bool IsDraining { get; } = isDraining;
}
