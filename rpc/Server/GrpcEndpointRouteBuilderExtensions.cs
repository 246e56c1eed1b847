using Grpc.AspNetCore.Server;
using Grpc.Core;
using Microsoft.AspNetCore.Routing;

namespace Microsoft.AspNetCore.Builder;

/// <summary>Maps gRPC services to endpoints.</summary>
public static class GrpcEndpointRouteBuilderExtensions
{
    /// <summary>
    /// Maps a service. Each call is served by the instance that the host's services resolve, or by a new one, created with its
    /// dependencies and disposed after the call, where <typeparamref name="TService"/> is not registered.
    /// </summary>
    /// <exception cref="InvalidOperationException">AddGrpc was not called, or the type is not a generated service.</exception>
    public static GrpcServiceEndpointConventionBuilder MapGrpcService<TService>(this IEndpointRouteBuilder builder)
        where TService : class
    {
        var endpoints = new ServiceEndpoints(builder);
        ServiceTypeBinder<TService>.Bind(endpoints);
        return endpoints.Complete();
    }

    /// <summary>Maps the methods of one instance, as the generated <c>BindService(instance)</c> returns them.</summary>
    /// <exception cref="InvalidOperationException">AddGrpc was not called.</exception>
    public static GrpcServiceEndpointConventionBuilder MapGrpcService(
        this IEndpointRouteBuilder builder, ServerServiceDefinition serviceDefinition)
    {
        ArgumentNullException.ThrowIfNull(serviceDefinition);
        var endpoints = new ServiceEndpoints(builder);
        serviceDefinition.BindService(new ServiceInstanceBinder(endpoints));
        return endpoints.Complete();
    }
}
