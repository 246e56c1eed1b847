using Microsoft.Extensions.Logging;

namespace Grpc.AspNetCore.Server;

/// <summary>What the server logs. A call that fails as its handler chose is the caller's matter and stays at Debug.</summary>
internal static partial class ServerLog
{
    [LoggerMessage(1, LogLevel.Error, "The handler of {Method} failed; the caller {Peer} receives UNKNOWN.")]
    public static partial void HandlerFailed(ILogger logger, string method, string peer, Exception failure);

    [LoggerMessage(2, LogLevel.Debug, "The call of {Method} by {Peer} ended with {StatusCode}: {Detail}")]
    public static partial void CallFailed(ILogger logger, string method, string peer, Core.StatusCode statusCode, string detail);

    [LoggerMessage(3, LogLevel.Debug, "The call of {Method} by {Peer} was cancelled by the caller, or the connection was lost.")]
    public static partial void CallAborted(ILogger logger, string method, string peer);

    [LoggerMessage(4, LogLevel.Debug, "The call of {Method} by {Peer} passed its deadline.")]
    public static partial void DeadlinePassed(ILogger logger, string method, string peer);

    [LoggerMessage(5, LogLevel.Error, "Ending {Method} for {Peer} at its deadline failed.")]
    public static partial void DeadlineFailed(ILogger logger, string method, string peer, Exception failure);
}
