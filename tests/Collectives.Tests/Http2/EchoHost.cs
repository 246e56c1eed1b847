using System.Globalization;
using System.Net;
using System.Net.Security;
using System.Security.Cryptography.X509Certificates;
using System.Threading.Channels;
using Distributed.Collectives.Hosting;
using Distributed.Collectives.Hosting.Http2;
using Distributed.Collectives.Transports.Grpc;
using Distributed.Protos;
using Grpc.Core;
using Grpc.Net.Client;

namespace Distributed.Collectives.Tests.Http2;

/// <summary>A gRPC service that sends every frame back, on Kestrel or on <see cref="CallServer"/>, and channels to it of either kind of client.</summary>
internal sealed class EchoHost : Peer.PeerBase, IAsyncDisposable
{
    private readonly DirectoryInfo _directory = Directory.CreateTempSubdirectory("echo-");
    private readonly X509Certificate2 _certificate = PeerCertificate.Create("CN=echo");
    private GrpcHost? _host;
    private int _port;

    public string Path => System.IO.Path.Combine(_directory.FullName, "s");

    public static async Task<EchoHost> StartAsync(bool isKestrel, int maxConnectionCount = 100)
    {
        var echo = new EchoHost();
        if (isKestrel)
        {
            echo._host = await GrpcHost.StartAsync(echo, 8 << 20, options => options.ListenForOwner(echo.Path), CancellationToken.None);
            return echo;
        }

        var server = new CallServer(new CallServerOptions(echo.Path, IPAddress.Loopback, echo.Protection(), maxConnectionCount));
        echo._host = await GrpcHost.StartAsync(echo, 8 << 20, server, CancellationToken.None);
        echo._port = server.Port;
        return echo;
    }

    public GrpcChannel OpenChannel(bool isPlatform, bool isTls = false) => GrpcChannel.ForAddress(
        isTls ? $"https://127.0.0.1:{_port}" : "http://localhost",
        new GrpcChannelOptions { HttpHandler = isPlatform ? Platform() : Own(isTls), DisposeHttpClient = true, MaxReceiveMessageSize = 8 << 20, MaxSendMessageSize = 8 << 20 });

    /// <summary>Sends back what comes; a frame with a heartbeat ends the call with a status and a trailer.</summary>
    public override async Task Connect(IAsyncStreamReader<PeerFrame> requestStream, IServerStreamWriter<PeerFrame> responseStream, ServerCallContext context)
    {
        // Reads and writes at once, as ranks do: what opens the windows of a writer is read by the reader.
        var frames = Channel.CreateUnbounded<PeerFrame>();
        var reading = ReadAsync(requestStream, frames.Writer);
        await foreach (var frame in frames.Reader.ReadAllAsync())
        {
            if (frame.ContentCase == PeerFrame.ContentOneofCase.Heartbeat)
            {
                context.ResponseTrailers.Add("x-end", "ä".Length.ToString(CultureInfo.InvariantCulture));
                throw new RpcException(new Status(StatusCode.FailedPrecondition, "no heartbeats here, 100 %"));
            }

            await responseStream.WriteAsync(frame);
        }

        await reading;
    }

    public async ValueTask DisposeAsync()
    {
        await _host!.DisposeAsync();
        _certificate.Dispose();
        _directory.Delete(recursive: true);
    }

    private static async Task ReadAsync(IAsyncStreamReader<PeerFrame> requests, ChannelWriter<PeerFrame> frames)
    {
        try
        {
            await foreach (var frame in requests.ReadAllAsync())
            {
                frames.TryWrite(frame);
            }

            frames.Complete();
        }
        catch (Exception exception)
        {
            frames.Complete(exception);
        }
    }

    private SocketsHttpHandler Platform()
    {
        var handler = UnixChannel.CreateHandler(Path, TimeSpan.FromSeconds(20));
        handler.InitialHttp2StreamWindowSize = 1 << 20;
        return handler;
    }

    private CallHandler Own(bool isTls) => isTls
        ? new CallHandler(
            cancellationToken => TlsChannel.ConnectAsync(new IPEndPoint(IPAddress.Loopback, _port), TimeSpan.FromSeconds(20), cancellationToken),
            new SslClientAuthenticationOptions
            {
                TargetHost = "echo",
                ClientCertificates = [_certificate],
                RemoteCertificateValidationCallback = (_, shown, _, _) => shown?.GetCertHashString() == _certificate.GetCertHashString(),
            })
        : new CallHandler(cancellationToken => UnixSocketAddress.ConnectAsync(Path, TimeSpan.FromSeconds(20), cancellationToken), tls: null);

    private SslServerAuthenticationOptions Protection() => new() { ServerCertificate = _certificate };
}
