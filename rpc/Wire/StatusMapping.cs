using System.Net;
using Grpc.Core;

namespace Grpc.Wire;

/// <summary>The status of a call that ended without one of its own.</summary>
internal static class StatusMapping
{
    /// <summary>From an HTTP status that no gRPC server sent (grpc/doc/http-grpc-status-mapping.md).</summary>
    public static StatusCode FromHttpStatus(HttpStatusCode status) => status switch
    {
        HttpStatusCode.BadRequest => StatusCode.Internal,
        HttpStatusCode.Unauthorized => StatusCode.Unauthenticated,
        HttpStatusCode.Forbidden => StatusCode.PermissionDenied,
        HttpStatusCode.NotFound => StatusCode.Unimplemented,
        HttpStatusCode.TooManyRequests or HttpStatusCode.BadGateway or HttpStatusCode.ServiceUnavailable
            or HttpStatusCode.GatewayTimeout => StatusCode.Unavailable,
        _ => StatusCode.Unknown,
    };

    /// <summary>From the error code of an HTTP/2 RST_STREAM or GOAWAY (PROTOCOL-HTTP2.md, "Errors"; RFC 9113 section 7).</summary>
    public static StatusCode FromHttp2Error(long code) => code switch
    {
        0x7 => StatusCode.Unavailable, // REFUSED_STREAM: the server did not begin the call
        0x8 => StatusCode.Cancelled,
        0xb => StatusCode.ResourceExhausted, // ENHANCE_YOUR_CALM
        0xc => StatusCode.PermissionDenied, // INADEQUATE_SECURITY
        _ => StatusCode.Internal,
    };

    /// <summary>From what the HTTP client threw. A lost or refused connection is UNAVAILABLE.</summary>
    public static StatusCode FromException(Exception exception)
    {
        for (var cause = exception; cause is not null; cause = cause.InnerException)
        {
            switch (cause)
            {
                case RpcException rpc:
                    return rpc.StatusCode;
                case HttpProtocolException protocol:
                    return FromHttp2Error(protocol.ErrorCode);
                case TimeoutException: // the connect timeout arrives wrapped into a cancellation
                    return StatusCode.Unavailable;
            }
        }

        return exception switch
        {
            OperationCanceledException => StatusCode.Cancelled,
            HttpRequestException or IOException or ObjectDisposedException => StatusCode.Unavailable,
            _ => StatusCode.Internal,
        };
    }
}
