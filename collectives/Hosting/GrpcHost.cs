using System.Diagnostics;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;

namespace Distributed.Collectives.Hosting;

/// <summary>
/// A Kestrel server with one gRPC service and nothing else: no host, configuration, environment variables, logging or signal handlers,
/// so that it starts in half the time of a web application's and listens only where it is told.
/// </summary>
internal sealed class GrpcHost : IAsyncDisposable
{
    private readonly ServiceProvider _services;
    private readonly KestrelServer _server;

    private GrpcHost(ServiceProvider services, KestrelServer server) => (_services, _server) = (services, server);

    /// <summary>Starts serving <paramref name="service"/>.</summary>
    /// <param name="service">A generated service base's implementation; used for every call.</param>
    /// <param name="maxMessageByteCount">The largest message accepted or sent.</param>
    /// <param name="configure">Sets limits and endpoints.</param>
    /// <param name="cancellationToken">Ends the attempt.</param>
    /// <exception cref="IOException">An endpoint is taken.</exception>
    public static async Task<GrpcHost> StartAsync<TService>(
        TService service, int maxMessageByteCount, Action<KestrelServerOptions> configure, CancellationToken cancellationToken)
        where TService : class
    {
        var services = new ServiceCollection()
            .AddSingleton<ILoggerFactory>(NullLoggerFactory.Instance)
            .AddSingleton(typeof(ILogger<>), typeof(NullLogger<>))
            .AddSingleton(new DiagnosticListener("Distributed.Collectives"))
            .AddSingleton(service);
        services.AddMetrics();
        services.AddRouting();
        services.AddGrpc(options =>
        {
            options.MaxReceiveMessageSize = maxMessageByteCount;
            options.MaxSendMessageSize = maxMessageByteCount;
        });

        var provider = services.BuildServiceProvider();
        try
        {
            var options = new KestrelServerOptions { ApplicationServices = provider, AddServerHeader = false };
            SetLimits(options.Limits);
            configure(options);
            var server = new KestrelServer(
                Options.Create(options),
                new SocketTransportFactory(Options.Create(new SocketTransportOptions()), NullLoggerFactory.Instance),
                NullLoggerFactory.Instance);
            await server.StartAsync(new Application(Route<TService>(provider), provider), cancellationToken);
            return new GrpcHost(provider, server);
        }
        catch
        {
            await provider.DisposeAsync();
            throw;
        }
    }

    /// <summary>The addresses that the server listens on, as URLs, with the port numbers that the system gave.</summary>
    public IEnumerable<string> Addresses => _server.Features.Get<IServerAddressesFeature>()?.Addresses ?? [];

    /// <summary>Closes the endpoints and ends every call that is still running.</summary>
    public async ValueTask DisposeAsync()
    {
        // Already cancelled: a call that waits for a value does not hold up the end.
        await _server.StopAsync(new CancellationToken(canceled: true));
        _server.Dispose();
        await _services.DisposeAsync();
    }

    // The peers of a job are few and known; what exceeds this is not one of them.
    private static void SetLimits(KestrelServerLimits limits)
    {
        limits.MaxRequestHeadersTotalSize = 8 << 10;
        limits.MaxRequestHeaderCount = 32;
        limits.RequestHeadersTimeout = TimeSpan.FromSeconds(5);
        limits.KeepAliveTimeout = TimeSpan.FromDays(7); // not infinite: that overflows in Kestrel 10.0 and closes idle connections within a second
        limits.MaxRequestBodySize = null;
        limits.MinRequestBodyDataRate = null;
        limits.MinResponseDataRate = null;
        limits.Http2.MaxRequestHeaderFieldSize = 4 << 10;
    }

    private static RequestDelegate Route<TService>(IServiceProvider services)
        where TService : class
        => new ApplicationBuilder(services)
            .UseRouting()
            .UseEndpoints(endpoints => endpoints.MapGrpcService<TService>())
            .Build();

    private sealed class Application(RequestDelegate route, IServiceProvider services) : IHttpApplication<HttpContext>
    {
        private readonly DefaultHttpContextFactory _contexts = new(services);

        public HttpContext CreateContext(IFeatureCollection contextFeatures) => _contexts.Create(contextFeatures);

        public Task ProcessRequestAsync(HttpContext context) => route(context);

        public void DisposeContext(HttpContext context, Exception? exception) => _contexts.Dispose(context);
    }
}
