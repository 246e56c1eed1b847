using Grpc.Core;
using Grpc.Wire;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;

namespace Grpc.AspNetCore.Server;

/// <summary>The names of the mapped services: a call to one of them that reaches no method asks for a method that does not exist.</summary>
internal sealed class MappedServices
{
    public HashSet<string> Names { get; } = new(StringComparer.Ordinal);
}

/// <summary>Turns the methods of a service into endpoints.</summary>
internal sealed class ServiceEndpoints
{
    private const string AnyMethod = "/{service}/{method}";

    private readonly IEndpointRouteBuilder _builder;
    private readonly MappedServices _services;
    private readonly ServerCallFactory _calls;
    private readonly List<IEndpointConventionBuilder> _endpoints = [];

    public ServiceEndpoints(IEndpointRouteBuilder builder)
    {
        ArgumentNullException.ThrowIfNull(builder);
        _builder = builder;
        _services = builder.ServiceProvider.GetService<MappedServices>()
            ?? throw new InvalidOperationException("gRPC services can be mapped only after services.AddGrpc() was called.");
        _calls = builder.ServiceProvider.GetRequiredService<ServerCallFactory>();
    }

    /// <summary>Adds the endpoint of a method.</summary>
    /// <param name="method">The method.</param>
    /// <param name="serviceType">The type that serves it.</param>
    /// <param name="attributes">Attributes of the type and of its method, such as Authorize.</param>
    /// <param name="serve">Reads the request, runs the handler and writes the response.</param>
    public void Add(IMethod method, Type serviceType, IEnumerable<object> attributes, Func<ServerCall, Task> serve)
    {
        if (_services.Names.Count == 0)
        {
            MapUnimplemented();
        }

        _services.Names.Add(method.ServiceName);
        var endpoint = _builder.MapMethods(method.FullName, [HttpMethods.Post], http => _calls.ServeAsync(http, method.FullName, serve));
        endpoint.WithDisplayName($"gRPC - {method.FullName}");
        endpoint.WithMetadata([.. attributes, new GrpcMethodMetadata(serviceType, method)]);
        _endpoints.Add(endpoint);
    }

    public GrpcServiceEndpointConventionBuilder Complete() => new(_endpoints);

    /// <summary>One endpoint, behind all others, for the gRPC calls that fit none.</summary>
    private void MapUnimplemented()
    {
        var endpoint = _builder.MapMethods(AnyMethod, [HttpMethods.Post], http =>
        {
            if (!GrpcProtocol.IsGrpc(http.Request.ContentType))
            {
                http.Response.StatusCode = StatusCodes.Status404NotFound; // not ours
                return Task.CompletedTask;
            }

            var service = (string?)http.GetRouteValue("service") ?? "";
            var known = _services.Names.Contains(service) ? "Method" : "Service";
            var status = new Status(StatusCode.Unimplemented, $"{known} is unimplemented: {http.Request.Path}");
            return _calls.ServeAsync(http, http.Request.Path, _ => Task.FromException(new RpcException(status)));
        });
        endpoint.WithDisplayName("gRPC - unimplemented");
        endpoint.Add(builder => ((RouteEndpointBuilder)builder).Order = int.MaxValue);
    }
}
