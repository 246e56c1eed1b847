using System.Diagnostics;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace Distributed.Collectives.Hosting;

/// <summary>
/// A server with one gRPC service and nothing else: no host, configuration, environment variables, logging or signal handlers,
/// so that it starts in half the time of a web application's and listens only where it is told.
/// </summary>
internal sealed class GrpcHost : IAsyncDisposable
{
    private readonly ServiceProvider _services;
    private readonly IServer _server;

    private GrpcHost(ServiceProvider services, IServer server) => (_services, _server) = (services, server);

    /// <summary>The addresses that the server listens on, as URLs, with the port numbers that the system gave.</summary>
    public IEnumerable<string> Addresses => _server.Features.Get<IServerAddressesFeature>()?.Addresses ?? [];

    /// <summary>Starts serving <paramref name="service"/> on Kestrel.</summary>
    /// <param name="service">A generated service base's implementation; used for every call.</param>
    /// <param name="maxMessageByteCount">The largest message accepted or sent.</param>
    /// <param name="configure">Sets limits and endpoints.</param>
    /// <param name="cancellationToken">Ends the attempt.</param>
    /// <exception cref="IOException">An endpoint is taken.</exception>
    public static Task<GrpcHost> StartAsync<TService>(
        TService service, int maxMessageByteCount, Action<KestrelServerOptions> configure, CancellationToken cancellationToken)
        where TService : class
        => StartAsync(
            service,
            maxMessageByteCount,
            services => new ServerServices(services).UseKestrelCore().ConfigureKestrel(options =>
            {
                options.AddServerHeader = false;
                SetLimits(options.Limits);
                configure(options);
            }),
            cancellationToken);

    /// <summary>Starts serving <paramref name="service"/> on another server, which is disposed with this.</summary>
    /// <inheritdoc cref="StartAsync{TService}(TService, int, Action{KestrelServerOptions}, CancellationToken)"/>
    public static Task<GrpcHost> StartAsync<TService>(TService service, int maxMessageByteCount, IServer server, CancellationToken cancellationToken)
        where TService : class
        => StartAsync(service, maxMessageByteCount, services => services.AddSingleton(server), cancellationToken);

    private static async Task<GrpcHost> StartAsync<TService>(
        TService service, int maxMessageByteCount, Action<IServiceCollection> addServer, CancellationToken cancellationToken)
        where TService : class
    {
        var services = new ServiceCollection();
        services.AddSingleton<ILoggerFactory>(NullLoggerFactory.Instance);
        services.AddSingleton(typeof(ILogger<>), typeof(NullLogger<>));
        services.AddSingleton(new DiagnosticListener("Distributed.Collectives"));
        services.AddSingleton<DiagnosticSource>(provider => provider.GetRequiredService<DiagnosticListener>());
        services.AddMetrics();
        services.AddRouting();
        services.AddSingleton(service);
        services.AddGrpc(options =>
        {
            options.MaxReceiveMessageSize = maxMessageByteCount;
            options.MaxSendMessageSize = maxMessageByteCount;
        });
        addServer(services);
        var provider = services.BuildServiceProvider();
        try
        {
            var server = provider.GetRequiredService<IServer>();
            await server.StartAsync(new Application(MethodRoutes.Of(provider, routes => routes.MapGrpcService<TService>()), provider), cancellationToken);
            return new GrpcHost(provider, server);
        }
        catch
        {
            await provider.DisposeAsync();
            throw;
        }
    }

    /// <summary>Closes the endpoints and ends every call that is still running.</summary>
    public async ValueTask DisposeAsync()
    {
        // Already cancelled: a call that waits for a value does not hold up the end.
        await _server.StopAsync(new CancellationToken(canceled: true));
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

    // Kestrel registers itself with a web host builder; all that it asks of one is the service collection.
    private sealed class ServerServices(IServiceCollection services) : IWebHostBuilder
    {
        private readonly WebHostBuilderContext _context = new();

        public IWebHostBuilder ConfigureServices(Action<IServiceCollection> configureServices)
        {
            configureServices(services);
            return this;
        }

        public IWebHostBuilder ConfigureServices(Action<WebHostBuilderContext, IServiceCollection> configureServices)
        {
            configureServices(_context, services);
            return this;
        }

        public IWebHostBuilder ConfigureAppConfiguration(Action<WebHostBuilderContext, IConfigurationBuilder> configureDelegate)
            => throw new NotSupportedException();

        public IWebHostBuilder UseSetting(string key, string? value) => throw new NotSupportedException();

        public string? GetSetting(string key) => null;

#pragma warning disable ASPDEPR008 // The interface still has it.
        public IWebHost Build() => throw new NotSupportedException();
#pragma warning restore ASPDEPR008
    }

    private sealed class Application(RequestDelegate route, IServiceProvider services) : IHttpApplication<HttpContext>
    {
        private readonly DefaultHttpContextFactory _contexts = new(services);

        public HttpContext CreateContext(IFeatureCollection contextFeatures) => _contexts.Create(contextFeatures);

        public Task ProcessRequestAsync(HttpContext context) => route(context);

        public void DisposeContext(HttpContext context, Exception? exception) => _contexts.Dispose(context);
    }
}
