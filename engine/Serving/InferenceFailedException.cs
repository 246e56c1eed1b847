namespace Distributed.Engine.Serving;

/// <summary>A call ended without its answer; the message is one sentence.</summary>
/// <param name="message">What happened.</param>
/// <param name="resumption">The request that continues the answer behind the tokens that were reported, elsewhere or later; <see langword="null"/> where that would fail again.</param>
/// <param name="innerException">The cause.</param>
/// <param name="wasRunning">Whether the model had begun with it.</param>
public sealed class InferenceFailedException(
    string message, InferenceRequest? resumption = null, Exception? innerException = null, bool wasRunning = false)
    : Exception(message, innerException)
{
    /// <summary>Whether the model had begun with it, so that it may be what the model failed of.</summary>
    public bool WasRunning { get; } = wasRunning;

    /// <summary>
    /// The request that continues the answer behind the tokens that were reported, on a scheduler that runs; a constraint in it must be replaced by a new one.
    /// <see langword="null"/> where the request itself is at fault.
    /// </summary>
    public InferenceRequest? Resumption { get; } = resumption;
}
