namespace Grpc.Core;

/// <summary>How a call ended: a code and a sentence for people.</summary>
public readonly struct Status
{
    /// <summary>Success without a detail.</summary>
    public static readonly Status DefaultSuccess = new(StatusCode.OK, "");

    /// <summary>Cancellation without a detail.</summary>
    public static readonly Status DefaultCancelled = new(StatusCode.Cancelled, "");

    public Status(StatusCode statusCode, string detail)
        : this(statusCode, detail, null)
    {
    }

    /// <param name="statusCode">The code that is sent.</param>
    /// <param name="detail">The sentence that is sent.</param>
    /// <param name="debugException">The local cause; it is never sent.</param>
    public Status(StatusCode statusCode, string detail, Exception? debugException)
    {
        StatusCode = statusCode;
        Detail = detail;
        DebugException = debugException;
    }

    public StatusCode StatusCode { get; }

    public string Detail { get; }

    /// <summary>The local exception behind a status that did not come from the peer.</summary>
    public Exception? DebugException { get; }

    public override string ToString()
        => $"Status(StatusCode=\"{StatusCode}\", Detail=\"{Detail}\"" +
           (DebugException is null ? ")" : $", DebugException=\"{DebugException.GetType()}: {DebugException.Message}\")");
}
