using Grpc.Wire;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core.Features;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace Grpc.AspNetCore.Server;

/// <summary>Makes calls of the HTTP requests that are gRPC.</summary>
internal sealed class ServerCallFactory(IOptions<GrpcServiceOptions> options, ILogger<ServerCall> logger)
{
    public Task ServeAsync(HttpContext http, string method, Func<ServerCall, Task> serve)
    {
        if (!HttpProtocol.IsHttp2(http.Request.Protocol) && !HttpProtocol.IsHttp3(http.Request.Protocol))
        {
            http.Response.StatusCode = StatusCodes.Status426UpgradeRequired;
            http.Response.Headers.Upgrade = HttpProtocol.Http2;
            return Task.CompletedTask;
        }

        if (!GrpcProtocol.IsGrpc(http.Request.ContentType))
        {
            http.Response.StatusCode = StatusCodes.Status415UnsupportedMediaType;
            return Task.CompletedTask;
        }

        LiftLimits(http);
        http.Response.ContentType = GrpcProtocol.ContentType;
        return new ServerCall(http, method, options.Value, logger).RunAsync(serve);
    }

    /// <summary>
    /// Kestrel ends a request whose body is large or slow; a stream may rightly be both. Each message has a limit of its own, and the
    /// bytes that wait to be read are bounded by the HTTP/2 windows.
    /// </summary>
    private static void LiftLimits(HttpContext http)
    {
        if (http.Features.Get<IHttpMinRequestBodyDataRateFeature>() is { } dataRate)
        {
            dataRate.MinDataRate = null;
        }

        if (http.Features.Get<IHttpMaxRequestBodySizeFeature>() is { IsReadOnly: false } bodySize)
        {
            bodySize.MaxRequestBodySize = null;
        }
    }
}
