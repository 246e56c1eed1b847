using Grpc.Core;
using Grpc.Wire;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.AspNetCore.Routing.Patterns;
using Microsoft.Extensions.DependencyInjection;

namespace Grpc.AspNetCore.Server;

/// <summary>Turns the methods of a service into endpoints.</summary>
internal sealed class ServiceEndpoints
{
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
        var pattern = RoutePatternFactory.Parse("/{service}/{method}", defaults: null, parameterPolicies: new { method = new IsGrpcConstraint() });
        var endpoint = _builder.Map(pattern, http =>
        {
            var known = _services.Names.Contains((string?)http.GetRouteValue("service") ?? "") ? "Method" : "Service";
            var status = new Status(StatusCode.Unimplemented, $"{known} is unimplemented: {http.Request.Path}");
            return _calls.ServeAsync(http, http.Request.Path, _ => Task.FromException(new RpcException(status)));
        });
        endpoint.WithDisplayName("gRPC - unimplemented");
        endpoint.WithMetadata(new HttpMethodMetadata([HttpMethods.Post]));
        endpoint.Add(builder => ((RouteEndpointBuilder)builder).Order = int.MaxValue);
    }

    /// <summary>Leaves the requests that are not gRPC to the rest of the application.</summary>
    private sealed class IsGrpcConstraint : IRouteConstraint
    {
        public bool Match(
            HttpContext? httpContext, IRouter? route, string routeKey, RouteValueDictionary values, RouteDirection routeDirection)
            => GrpcProtocol.IsGrpc(httpContext?.Request.ContentType);
    }
}
