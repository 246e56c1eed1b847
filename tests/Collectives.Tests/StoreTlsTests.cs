using System.Net;
using System.Net.Sockets;
using Distributed.Collectives.Launching;
using Distributed.Protos;
using Google.Protobuf;
using Grpc.Core;
using Grpc.Net.Client;

namespace Distributed.Collectives.Tests;

/// <summary>Who may use a store that other hosts can reach.</summary>
public sealed class StoreTlsTests
{
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(20);

    [Fact]
    public async Task ConnectTls_WithAnotherSecretOrJob_IsRefusedBeforeTheClientShowsAnything()
    {
        var secret = JobSecret.Create();
        await using var store = new InMemoryStore();
        await using var server = await StoreServer.StartTlsAsync(new IPEndPoint(IPAddress.Loopback, 0), "job", secret, store);

        var error = await Assert.ThrowsAsync<RendezvousRefusedException>(() => Connect(server, "job", JobSecret.Create())).DefaultTimeout();
        Assert.Contains("does not prove that it is the rendezvous store of this run", error.Message, StringComparison.Ordinal);
        await Assert.ThrowsAsync<RendezvousRefusedException>(() => Connect(server, "another job", secret)).DefaultTimeout();
        await using var client = await Connect(server, "job", secret).DefaultTimeout();
        Assert.Equal(1, await client.AddAsync("key", 1).DefaultTimeout());
    }

    [Fact]
    public async Task AnyCall_OverTlsWithoutTheProof_IsUnauthenticated()
    {
        await using var store = new InMemoryStore();
        await using var server = await StoreServer.StartTlsAsync(new IPEndPoint(IPAddress.Loopback, 0), "job", JobSecret.Create(), store);
        using var channel = OpenTrusting(server);
        var client = new Store.StoreClient(channel);
        var options = new CallOptions(deadline: DateTime.UtcNow + Limit);

        var error = await Assert.ThrowsAsync<RpcException>(async () => await client.AddAsync(new AddRequest { Key = "key", Delta = 1 }, options));
        Assert.Equal(StatusCode.Unauthenticated, error.StatusCode);
        error = await Assert.ThrowsAsync<RpcException>(async () => await client.IntroduceAsync(new IntroduceRequest { Nonce = ByteString.Empty }, options));
        Assert.Equal(StatusCode.InvalidArgument, error.StatusCode);
    }

    [Fact]
    public async Task Introduce_OfAnImpostorThatPassesOnTheProof_IsRefused()
    {
        // Somebody in between has a certificate of his own, and asks the true server for the proof over the client's nonce.
        var secret = JobSecret.Create();
        await using var store = new InMemoryStore();
        await using var server = await StoreServer.StartTlsAsync(new IPEndPoint(IPAddress.Loopback, 0), "job", secret, store);
        using var channel = OpenTrusting(server);
        using var between = Distributed.Collectives.Transports.Grpc.PeerCertificate.Create("CN=rendezvous store");
        await using var impostor = await Relay.StartAsync(new Store.StoreClient(channel), between);

        await Assert.ThrowsAsync<RendezvousRefusedException>(
            () => GrpcStore.ConnectTlsAsync("127.0.0.1", impostor.Port, "job", secret, Limit)).DefaultTimeout();
    }

    [Fact]
    public async Task StartTls_OnAPortThatIsTaken_SaysSo()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        await using var store = new InMemoryStore();
        var error = await Assert.ThrowsAsync<RendezvousConnectionException>(
            () => StoreServer.StartTlsAsync((IPEndPoint)listener.LocalEndpoint, "job", JobSecret.Create(), store)).DefaultTimeout();
        Assert.True(StoreServer.AddressInUse(error));
    }

    [Fact]
    public async Task ConnectTls_ToNobody_FailsWithinItsLimit()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0); // bound, and does not listen
        listener.Server.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        var port = ((IPEndPoint)listener.LocalEndpoint).Port;
        await Assert.ThrowsAsync<RendezvousConnectionException>(
            () => GrpcStore.ConnectTlsAsync("127.0.0.1", port, "job", JobSecret.Create(), TimeSpan.FromSeconds(2))).DefaultTimeout();
    }

    [Fact]
    public async Task Unix_InFrontOfAnotherStore_PassesCallsAndFailuresOn()
    {
        var secret = JobSecret.Create();
        var folder = Directory.CreateTempSubdirectory("distrun-").FullName;
        await using var shared = new InMemoryStore();
        var distant = await StoreServer.StartTlsAsync(new IPEndPoint(IPAddress.Loopback, 0), "job", secret, shared);
        await using var behind = await Connect(distant, "job", secret).DefaultTimeout();
        await using var front = await StoreServer.StartAsync(Path.Combine(folder, "s.sock"), "ranks", secret, new PrefixStore(behind, "ranks/0/"));
        await using var rank = GrpcStore.Connect(front.Address, "ranks", secret);

        await rank.SetAsync("key", "value"u8.ToArray()).DefaultTimeout();
        Assert.Equal("value"u8.ToArray(), await shared.GetAsync("ranks/0/key", Limit));
        await distant.DisposeAsync();
        var error = await Assert.ThrowsAsync<RendezvousConnectionException>(() => rank.SetAsync("key", "value"u8.ToArray())).DefaultTimeout();
        Assert.Contains("https://127.0.0.1", error.Message, StringComparison.Ordinal); // it is the distant store that is gone
        Directory.Delete(folder, recursive: true);
    }

    private static Task<GrpcStore> Connect(StoreServer server, string jobId, JobSecret secret)
        => GrpcStore.ConnectTlsAsync("127.0.0.1", new Uri(server.Address).Port, jobId, secret, Limit);

    private static GrpcChannel OpenTrusting(StoreServer server) => GrpcChannel.ForAddress(server.Address, new GrpcChannelOptions
    {
        DisposeHttpClient = true,
        HttpHandler = new SocketsHttpHandler { SslOptions = { RemoteCertificateValidationCallback = (_, certificate, _, _) => certificate is not null } },
    });

    /// <summary>Ends the client's TLS with a certificate of its own and passes the introduction on.</summary>
    private sealed class Relay : Store.StoreBase, IAsyncDisposable
    {
        private readonly Store.StoreClient _target;
        private Hosting.GrpcHost? _host;

        private Relay(Store.StoreClient target) => _target = target;

        public int Port => new Uri(_host!.Addresses.First()).Port;

        public static async Task<Relay> StartAsync(Store.StoreClient target, System.Security.Cryptography.X509Certificates.X509Certificate2 certificate)
        {
            var relay = new Relay(target);
            relay._host = await Hosting.GrpcHost.StartAsync(relay, 1 << 16, options => Listen(options, certificate), CancellationToken.None);
            return relay;
        }

        public override async Task<IntroduceReply> Introduce(IntroduceRequest request, ServerCallContext context)
            => await _target.IntroduceAsync(request, deadline: DateTime.UtcNow + Limit);

        public async ValueTask DisposeAsync() => await _host!.DisposeAsync();

        private static void Listen(
            Microsoft.AspNetCore.Server.Kestrel.Core.KestrelServerOptions options,
            System.Security.Cryptography.X509Certificates.X509Certificate2 certificate)
            => options.Listen(IPAddress.Loopback, 0, listen =>
            {
                listen.Protocols = Microsoft.AspNetCore.Server.Kestrel.Core.HttpProtocols.Http2;
                Microsoft.AspNetCore.Hosting.ListenOptionsHttpsExtensions.UseHttps(
                    listen, new Microsoft.AspNetCore.Server.Kestrel.Https.HttpsConnectionAdapterOptions { ServerCertificate = certificate });
            });
    }
}
