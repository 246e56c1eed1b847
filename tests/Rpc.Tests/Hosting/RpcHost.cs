using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
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

/// <summary>The ways to reach a server.</summary>
public enum Transport
{
    UnixSocket,
    Tcp,
    Tls,
}

/// <summary>A gRPC server of this process on Kestrel, and channels to it.</summary>
internal sealed class RpcHost : IAsyncDisposable
{
    private readonly WebApplication _application;
    private readonly string? _socket;
    private readonly X509Certificate2? _certificate;
    private readonly string _address;

    private RpcHost(WebApplication application, string? socket, X509Certificate2? certificate)
    {
        _application = application;
        _socket = socket;
        _certificate = certificate;
        _address = socket is not null
            ? "http://localhost"
            : application.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.Single();
    }

    /// <summary>Where the server listens; on a Unix socket a placeholder.</summary>
    public Uri Address => new(_address);

    public CapturedLog Log => _application.Services.GetRequiredService<CapturedLog>();

    /// <summary>Starts a server.</summary>
    /// <param name="transport">What it listens on.</param>
    /// <param name="map">Maps its services; null maps the <see cref="InteropService"/>.</param>
    /// <param name="options">Its gRPC options.</param>
    /// <param name="services">Adds services that handlers depend on.</param>
    /// <param name="port">The TCP port; 0 takes a free one.</param>
    public static async Task<RpcHost> StartAsync(
        Transport transport = Transport.Tcp,
        Action<WebApplication>? map = null,
        Action<GrpcServiceOptions>? options = null,
        Action<IServiceCollection>? services = null,
        int port = 0)
    {
        var builder = WebApplication.CreateSlimBuilder();
        var socket = transport == Transport.UnixSocket ? Path.Combine(Path.GetTempPath(), $"rpc-{Guid.NewGuid():N}.sock") : null;
        var certificate = transport == Transport.Tls ? CreateCertificate() : null;
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
                endpoint.Protocols = HttpProtocols.Http2;
                if (certificate is not null)
                {
                    endpoint.UseHttps(certificate);
                }
            }

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
        return new RpcHost(application, socket, certificate);
    }

    public GrpcChannel CreateChannel(Action<GrpcChannelOptions>? configure = null)
    {
        var options = new GrpcChannelOptions { HttpHandler = CreateHandler(), DisposeHttpClient = true };
        configure?.Invoke(options);
        return GrpcChannel.ForAddress(Address, options);
    }

    /// <summary>An HTTP handler that reaches this server.</summary>
    public SocketsHttpHandler CreateHandler()
    {
        var handler = new SocketsHttpHandler { EnableMultipleHttp2Connections = true, UseProxy = false };
        if (_socket is not null)
        {
            handler.ConnectCallback = async (_, cancellationToken) =>
            {
                var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
                try
                {
                    await socket.ConnectAsync(new UnixDomainSocketEndPoint(_socket), cancellationToken);
                    return new NetworkStream(socket, ownsSocket: true);
                }
                catch
                {
                    socket.Dispose();
                    throw;
                }
            };
        }

        if (_certificate is not null)
        {
            handler.SslOptions = new SslClientAuthenticationOptions
            {
                RemoteCertificateValidationCallback = (_, presented, _, _) =>
                    presented?.GetCertHashString(HashAlgorithmName.SHA256) == _certificate.GetCertHashString(HashAlgorithmName.SHA256),
            };
        }

        return handler;
    }

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
        _certificate?.Dispose();
        if (_socket is not null)
        {
            File.Delete(_socket);
        }
    }

    private static X509Certificate2 CreateCertificate()
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest("CN=localhost", key, HashAlgorithmName.SHA256);
        using var certificate = request.CreateSelfSigned(DateTimeOffset.UtcNow.AddMinutes(-5), DateTimeOffset.UtcNow.AddHours(1));
        return X509CertificateLoader.LoadPkcs12(certificate.Export(X509ContentType.Pkcs12), null); // a key that SChannel accepts too
    }
}
