using Grpc.AspNetCore.Server;
using Microsoft.AspNetCore.Http;

namespace Grpc.Core;

/// <summary>The HTTP request behind a gRPC call.</summary>
public static class ServerCallContextExtensions
{
    /// <summary>The HTTP request and its connection, such as the client's certificate; to read, not to change.</summary>
    public static HttpContext GetHttpContext(this ServerCallContext serverCallContext)
    {
        ArgumentNullException.ThrowIfNull(serverCallContext);
        return ((ServerCall)serverCallContext).HttpContext; // no other class can derive from the context
    }
}
