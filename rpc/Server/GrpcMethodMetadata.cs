using Grpc.Core;

namespace Grpc.AspNetCore.Server;

/// <summary>On the endpoint of every gRPC method: which one it is. Middleware finds it through <c>HttpContext.GetEndpoint()</c>.</summary>
public sealed class GrpcMethodMetadata(Type serviceType, IMethod method)
{
    public Type ServiceType { get; } = serviceType;

    public IMethod Method { get; } = method;
}
