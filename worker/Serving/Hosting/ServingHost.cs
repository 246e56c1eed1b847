using System.Net;
using System.Net.Sockets;
using Distributed.Worker.Running;
using Distributed.Worker.Serving.Answers;
using Distributed.Worker.Serving.Grpc;
using Distributed.Worker.Serving.Routes;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Routing;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Https;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;

namespace Distributed.Worker.Serving.Hosting;

/// <summary>
/// The server of rank 0. It listens from the start and answers 503 until the model is loaded. It reads no configuration but the options, has no log of its own and
/// handles no signal.
/// </summary>
internal sealed class ServingHost : IAsyncDisposable
{
    // Answers that are ready are small, and their clients there.
    private static readonly TimeSpan LastWords = TimeSpan.FromSeconds(2);

    private readonly WebApplication _application;
    private readonly PrometheusText _metrics;

    private ServingHost(WebApplication application, PrometheusText metrics) => (_application, _metrics) = (application, metrics);

    /// <summary>Where it listens: <c>http://127.0.0.1:8080</c>.</summary>
    public Uri Address => Addresses[0];

    /// <summary>Where it listens for gRPC; with TLS the same as <see cref="Address"/>, without a port of its own; <see langword="null"/> for nowhere.</summary>
    public Uri? GrpcAddress => Addresses is [_, var grpc] ? grpc : Address.Scheme == Uri.UriSchemeHttps ? Address : null;

    private Uri[] Addresses
        => [.. _application.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.Select(address => new Uri(address))];

    /// <summary>Every route.</summary>
    public IEnumerable<RouteEndpoint> Routes => ((IEndpointRouteBuilder)_application).DataSources.SelectMany(source => source.Endpoints).OfType<RouteEndpoint>();

    /// <summary>Starts to listen.</summary>
    /// <param name="options">Where, and who may come.</param>
    /// <param name="model">What is served.</param>
    /// <param name="state">Whether requests can be answered.</param>
    /// <param name="log">Takes what fails, a line or more each.</param>
    /// <param name="cancellationToken">Ends the attempt.</param>
    /// <exception cref="BadInputException">It cannot listen there.</exception>
    public static async Task<ServingHost> StartAsync(
        ServeOptions options, ServedModel model, ServerState state, TextWriter log, CancellationToken cancellationToken)
    {
        var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.Services.AddRoutingCore();
        builder.Services.AddSingleton(new AnswerService(model, state, new KeyQuota(options.MaxRequestsPerKey ?? Share(options, model)), options.RequestTimeout, log));
        builder.Services.AddSingleton(provider => new InferenceService(model, provider.GetRequiredService<AnswerService>()));
        builder.Services.AddGrpc(grpc => grpc.MaxReceiveMessageSize = (int)options.MaxBodyByteCount);
        builder.Services.AddSingleton<IHostLifetime, NoLifetime>();
        builder.WebHost.UseKestrelCore().ConfigureKestrel(kestrel =>
        {
            kestrel.AddServerHeader = false;
            kestrel.AllowSynchronousIO = false;
            SetLimits(kestrel.Limits, options.MaxBodyByteCount);
            kestrel.Listen(options.Address, options.Port, listen => Secure(listen, options, HttpProtocols.Http1));
            if (options.GrpcPort is { } port)
            {
                kestrel.Listen(options.Address, port, listen => Secure(listen, options, HttpProtocols.Http2));
            }
        });
        var application = builder.Build();
        var metrics = new PrometheusText(state);
        var host = new ServingHost(application, metrics);
        try
        {
            var gate = new RequestGate(options.Keys, new AllowedHosts(options.Address, options.AllowedHosts), log);
            application.UseRouting();
            application.Use(gate.PassAsync);
            ServingRoutes.Map(application, options, model, state, metrics);
            await application.StartAsync(cancellationToken);
            return host;
        }
        catch (Exception exception) when (exception is IOException or SocketException)
        {
            await host.DisposeAsync();
            throw new BadInputException(
                [$"Cannot listen at {new IPEndPoint(options.Address, options.Port)}: {exception.GetBaseException().Message}; name another --port, 0 for a free one, or another --host."]);
        }
        catch
        {
            await host.DisposeAsync();
            throw;
        }
    }

    /// <summary>Stops listening; answers that are being sent get a moment to end.</summary>
    public async ValueTask DisposeAsync()
    {
        using var limit = new CancellationTokenSource(LastWords);
        await _application.StopAsync(limit.Token);
        await _application.DisposeAsync();
        _metrics.Dispose();
    }

    // Without limit where nobody can be told from another.
    private static int Share(ServeOptions options, ServedModel model)
        => options.Keys.Count > 1 ? Math.Max(1, (options.MaxQueue + model.Limits.MaxBatchSize) / 2) : int.MaxValue;

    // Without TLS nothing says which protocol a connection speaks.
    private static void Secure(ListenOptions listen, ServeOptions options, HttpProtocols plain)
    {
        listen.Protocols = options.Certificate is null ? plain : HttpProtocols.Http1AndHttp2;
        if (options.Certificate is { } certificate)
        {
            listen.UseHttps(new HttpsConnectionAdapterOptions
            {
                ServerCertificate = certificate,
                SslProtocols = System.Security.Authentication.SslProtocols.Tls12 | System.Security.Authentication.SslProtocols.Tls13,
            });
        }
    }

    private static void SetLimits(KestrelServerLimits limits, long maxBodyByteCount)
    {
        limits.MaxConcurrentConnections = 1024;
        limits.MaxConcurrentUpgradedConnections = 0;
        limits.MaxRequestBodySize = maxBodyByteCount;
        limits.MaxRequestHeadersTotalSize = 16 << 10;
        limits.MaxRequestHeaderCount = 64;
        limits.MaxRequestLineSize = 4 << 10;
        limits.MaxRequestBufferSize = 256 << 10;
        limits.MaxResponseBufferSize = 64 << 10;
        limits.RequestHeadersTimeout = TimeSpan.FromSeconds(10);
        limits.KeepAliveTimeout = TimeSpan.FromSeconds(75);
        limits.Http2.MaxStreamsPerConnection = 32;
        limits.Http2.MaxRequestHeaderFieldSize = 8 << 10;
        limits.Http2.InitialStreamWindowSize = 128 << 10;
        limits.Http2.InitialConnectionWindowSize = 512 << 10;
        limits.Http2.KeepAlivePingDelay = TimeSpan.FromSeconds(30);
        limits.Http2.KeepAlivePingTimeout = TimeSpan.FromSeconds(10);
    }

    // Signals are the worker's: it drains first.
    private sealed class NoLifetime : IHostLifetime
    {
        public Task WaitForStartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

        public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;
    }
}
