using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;

namespace Distributed.Collectives.Hosting;

/// <summary>
/// Finds the method that a call names. A gRPC path is the method's name and nothing else, so a table does what the web framework's router would build a
/// state machine for, whose code is compiled anew in every process and takes a tenth of the server's start. The router is there for what fits no method.
/// </summary>
internal sealed class MethodRoutes : IEndpointRouteBuilder
{
    private readonly Dictionary<string, Endpoint> _methods = new(StringComparer.Ordinal); // by path
    private readonly Lazy<RequestDelegate> _router;

    private MethodRoutes(IServiceProvider services)
    {
        ServiceProvider = services;
        _router = new Lazy<RequestDelegate>(BuildRouter);
    }

    /// <inheritdoc/>
    public IServiceProvider ServiceProvider { get; }

    /// <inheritdoc/>
    public ICollection<EndpointDataSource> DataSources { get; } = [];

    /// <summary>What answers the calls to a service.</summary>
    /// <param name="services">With gRPC and routing added.</param>
    /// <param name="map">Maps the service.</param>
    public static RequestDelegate Of(IServiceProvider services, Action<IEndpointRouteBuilder> map)
    {
        var routes = new MethodRoutes(services);
        map(routes);
        foreach (var source in routes.DataSources)
        {
            foreach (var endpoint in source.Endpoints)
            {
                if (endpoint is RouteEndpoint { RoutePattern: { Parameters.Count: 0, RawText: { } path } })
                {
                    routes._methods[path] = endpoint;
                }
            }
        }

        return routes.AnswerAsync;
    }

    /// <inheritdoc/>
    public IApplicationBuilder CreateApplicationBuilder() => new ApplicationBuilder(ServiceProvider);

    private Task AnswerAsync(HttpContext context)
    {
        if (!HttpMethods.IsPost(context.Request.Method) || !_methods.TryGetValue(context.Request.Path.Value ?? "", out var endpoint))
        {
            return _router.Value(context);
        }

        context.SetEndpoint(endpoint);
        return endpoint.RequestDelegate!(context); // gRPC's endpoints have one
    }

    private RequestDelegate BuildRouter()
        => CreateApplicationBuilder()
            .UseRouting()
            .UseEndpoints(endpoints =>
            {
                foreach (var source in DataSources)
                {
                    endpoints.DataSources.Add(source);
                }
            })
            .Build();
}
