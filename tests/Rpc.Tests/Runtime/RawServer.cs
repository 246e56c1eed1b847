using System.Net;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace Distributed.Rpc.Tests.Runtime;

/// <summary>An HTTP/2 server that knows nothing of gRPC and answers as it is told.</summary>
internal sealed class RawServer : IAsyncDisposable
{
    private readonly WebApplication _application;

    private RawServer(WebApplication application) => _application = application;

    public string Address => _application.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.Single();

    public static async Task<RawServer> StartAsync(RequestDelegate answer)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.ConfigureKestrel(kestrel => kestrel.Listen(IPAddress.Loopback, 0, endpoint => endpoint.Protocols = HttpProtocols.Http2));
        var application = builder.Build();
        application.Run(answer);
        await application.StartAsync();
        return new RawServer(application);
    }

    /// <summary>Answers as gRPC with this body and these trailers.</summary>
    public static async Task AnswerAsync(HttpContext http, byte[] body, params (string Name, string Value)[] trailers)
    {
        http.Response.ContentType = "application/grpc";
        await http.Response.Body.WriteAsync(body);
        await http.Response.Body.FlushAsync();
        foreach (var (name, value) in trailers)
        {
            http.Response.AppendTrailer(name, value);
        }
    }

    public static void Reset(HttpContext http, int errorCode) => http.Features.GetRequiredFeature<IHttpResetFeature>().Reset(errorCode);

    /// <summary>Closes the connection as a process that dies does.</summary>
    public static void Disconnect(HttpContext http) => http.Features.GetRequiredFeature<IConnectionLifetimeFeature>().Abort();

    public async ValueTask DisposeAsync()
    {
        using var now = new CancellationTokenSource();
        await now.CancelAsync();
        await _application.StopAsync(now.Token);
        await _application.DisposeAsync();
    }
}
