using System.Net;
using Grpc.AspNetCore.Server;
using Grpc.Net.Client;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace Distributed.Rpc.Tests.Hosting;

/// <summary>A gRPC server of this process on Kestrel, and channels to it.</summary>
internal sealed class RpcHost : IAsyncDisposable
{
    private readonly WebApplication _application;

    private RpcHost(WebApplication application, ServerAddress address)
    {
        _application = application;
        Address = address;
    }

    public ServerAddress Address { get; }

    public CapturedLog Log => _application.Services.GetRequiredService<CapturedLog>();

    /// <summary>Starts a server.</summary>
    /// <param name="transport">What it listens on.</param>
    /// <param name="map">Maps its services; null maps the <see cref="InteropService"/>.</param>
    /// <param name="options">Its gRPC options.</param>
    /// <param name="services">Adds services that handlers depend on.</param>
    /// <param name="configure">Sets limits of the web server.</param>
    /// <param name="protocols">The versions of HTTP that it speaks.</param>
    /// <param name="port">The TCP port; 0 takes a free one.</param>
    public static async Task<RpcHost> StartAsync(
        Transport transport = Transport.Tcp,
        Action<WebApplication>? map = null,
        Action<GrpcServiceOptions>? options = null,
        Action<IServiceCollection>? services = null,
        Action<KestrelServerOptions>? configure = null,
        HttpProtocols protocols = HttpProtocols.Http2,
        int port = 0)
    {
        var builder = WebApplication.CreateSlimBuilder();
        var socket = transport == Transport.UnixSocket ? ServerAddress.NewSocketPath() : null;
        var certificate = transport == Transport.Tls ? TestCertificate.Value : null;
        builder.Logging.ClearProviders();
        builder.Logging.SetMinimumLevel(LogLevel.Debug);
        builder.Services.AddSingleton<CapturedLog>();
        builder.Services.AddSingleton<ILoggerProvider>(services => services.GetRequiredService<CapturedLog>());
        builder.Services.AddGrpc(options ?? (_ => { }));
        services?.Invoke(builder.Services);
        builder.WebHost.UseKestrelHttpsConfiguration();
        builder.WebHost.ConfigureKestrel(kestrel =>
        {
            void Listen(ListenOptions endpoint)
            {
                endpoint.Protocols = protocols;
                if (certificate is not null)
                {
                    endpoint.UseHttps(certificate);
                }
            }

            configure?.Invoke(kestrel);
            if (socket is null)
            {
                kestrel.Listen(IPAddress.Loopback, port, Listen);
            }
            else
            {
                kestrel.ListenUnixSocket(socket, Listen);
            }
        });
        var application = builder.Build();
        (map ?? (app => app.MapGrpcService<InteropService>()))(application);
        await application.StartAsync();
        return new RpcHost(application, socket is not null
            ? ServerAddress.OfUnixSocket(socket)
            : new ServerAddress(new Uri(application.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.Single())));
    }

    public GrpcChannel CreateChannel(Action<GrpcChannelOptions>? configure = null) => Address.CreateChannel(configure);

    /// <summary>Closes the listener and every connection, without waiting for the calls that run.</summary>
    public async Task StopAtOnceAsync()
    {
        using var now = new CancellationTokenSource();
        await now.CancelAsync();
        await _application.StopAsync(now.Token);
    }

    public async ValueTask DisposeAsync()
    {
        await StopAtOnceAsync();
        await _application.DisposeAsync();
        Address.Dispose();
    }
}
