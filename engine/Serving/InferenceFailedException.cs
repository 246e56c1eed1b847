namespace Distributed.Engine.Serving;

/// <summary>A call ended without its answer; the message is one sentence.</summary>
/// <param name="message">What happened.</param>
/// <param name="resumption">The request that continues the answer behind the tokens that were reported, elsewhere or later; <see langword="null"/> where that would fail again.</param>
/// <param name="innerException">The cause.</param>
public sealed class InferenceFailedException(string message, InferenceRequest? resumption = null, Exception? innerException = null)
    : Exception(message, innerException)
{
    /// <summary>
    /// The request that continues the answer behind the tokens that were reported, on a scheduler that runs; a constraint in it must be replaced by a new one.
    /// <see langword="null"/> where the request itself is at fault.
    /// </summary>
    public InferenceRequest? Resumption { get; } = resumption;
}
