using System.Net.Sockets;
using Distributed.Collectives.Hosting;
using Distributed.Collectives.Launching;
using Distributed.Protos;
using Grpc.Core;
using Grpc.Net.Client;

namespace Distributed.Collectives.Tests;

/// <summary>Who may use the served store, and when it is there.</summary>
public sealed class StoreServerTests
{
    [Fact]
    public async Task AnyCall_WithoutTheProof_IsUnauthenticated()
    {
        await using var job = await TestJob.StartAsync();
        using var channel = Open(job.Store);
        foreach (var call in CallsWith(new Store.StoreClient(channel), new CallOptions(deadline: DateTime.UtcNow.AddSeconds(20))))
        {
            var error = await Assert.ThrowsAsync<RpcException>(call).DefaultTimeout();
            Assert.Equal(StatusCode.Unauthenticated, error.StatusCode);
        }
    }

    [Fact]
    public void CallsWith_NamesEveryMethodOfTheService()
    {
        using var channel = GrpcChannel.ForAddress("http://localhost");
        var withoutProof = 1; // Introduce, by which the server proves itself first
        Assert.Equal(StoreReflection.Descriptor.Services[0].Methods.Count - withoutProof, CallsWith(new Store.StoreClient(channel), default).Length);
    }

    [Fact]
    public async Task Call_OfAMethodThatIsNotThere_IsUnimplemented()
    {
        await using var job = await TestJob.StartAsync();
        using var channel = Open(job.Store);
        var bytes = Marshallers.Create(static (byte[] message) => message, static bytes => bytes);
        var method = new Method<byte[], byte[]>(MethodType.Unary, StoreReflection.Descriptor.Services[0].FullName, "Nothing", bytes, bytes);
        var call = channel.CreateCallInvoker().AsyncUnaryCall(method, host: null, new CallOptions(deadline: DateTime.UtcNow.AddSeconds(20)), []);
        var error = await Assert.ThrowsAsync<RpcException>(() => call.ResponseAsync).DefaultTimeout();
        Assert.Equal(StatusCode.Unimplemented, error.StatusCode);
    }

    [Fact]
    public async Task Connect_WithAnotherJobsSecretOrId_IsRefusedInOneSentence()
    {
        await using var job = await TestJob.StartAsync();
        await using var wrongSecret = GrpcStore.Connect(job.Store.Address, job.JobId, JobSecret.Create());
        await using var wrongJob = GrpcStore.Connect(job.Store.Address, "another job", job.Secret);

        var error = await Assert.ThrowsAsync<RendezvousConnectionException>(() => wrongSecret.AddAsync("key", 1)).DefaultTimeout();
        Assert.Contains("does not accept this process", error.Message, StringComparison.Ordinal);
        await Assert.ThrowsAsync<RendezvousConnectionException>(() => wrongJob.AddAsync("key", 1)).DefaultTimeout();
    }

    [Fact]
    public async Task Set_BeforeTheServerIsUp_WaitsForIt()
    {
        var folder = Directory.CreateTempSubdirectory("distrun-").FullName;
        var secret = JobSecret.Create();
        var path = Path.Combine(folder, "s.sock");
        await using var store = GrpcStore.Connect($"unix:{path}", "job", secret);
        var set = store.SetAsync("key", "value"u8.ToArray());
        await Task.Delay(200);
        Assert.False(set.IsCompleted);

        await using (await StoreServer.StartAsync(path, "job", secret))
        {
            await set.DefaultTimeout();
        }

        Assert.False(File.Exists(path));
        Directory.Delete(folder);
    }

    [Fact]
    public async Task Dispose_WhileACallerWaits_EndsTheCallAndLeavesNothingListening()
    {
        var job = await TestJob.StartAsync();
        await using var store = job.Connect();
        await store.SetAsync("key", "value"u8.ToArray()).DefaultTimeout();
        var waiting = store.GetAsync("never", TimeSpan.FromSeconds(25));
        await Task.Delay(50);
        await job.DisposeAsync().AsTask().DefaultTimeout();

        await Assert.ThrowsAsync<RendezvousConnectionException>(() => waiting).DefaultTimeout();
        await Assert.ThrowsAsync<SocketException>(
            () => UnixSocketAddress.ConnectAsync(UnixSocketAddress.PathOf(job.Store.Address), TimeSpan.Zero, CancellationToken.None));
    }

    [Fact]
    public async Task Connection_IdleForLongerThanAHeartbeat_StaysOpen()
    {
        // The client's part of an HTTP/2 connection (RFC 9113, 3.4): the preface and empty settings.
        byte[] preface = [.. "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"u8, 0, 0, 0, 4, 0, 0, 0, 0, 0];
        const byte GoAway = 7;

        await using var job = await TestJob.StartAsync();
        await using var connection = new NetworkStream(
            await UnixSocketAddress.ConnectAsync(UnixSocketAddress.PathOf(job.Store.Address), TimeSpan.FromSeconds(5), CancellationToken.None), ownsSocket: true);
        await connection.WriteAsync(preface);
        using var idle = new CancellationTokenSource(TimeSpan.FromSeconds(3));
        var frame = new byte[9];
        try
        {
            while (true)
            {
                await connection.ReadExactlyAsync(frame, idle.Token);
                Assert.NotEqual(GoAway, frame[3]);
                await connection.ReadExactlyAsync(new byte[(frame[0] << 16) | (frame[1] << 8) | frame[2]], idle.Token);
            }
        }
        catch (OperationCanceledException)
        {
            // Silence, as it should be.
        }
    }

    [Fact]
    public async Task Start_OnATakenOrTooLongPath_SaysSo()
    {
        await using var job = await TestJob.StartAsync();
        var taken = await Assert.ThrowsAsync<RendezvousConnectionException>(
            () => StoreServer.StartAsync(UnixSocketAddress.PathOf(job.Store.Address), "job", job.Secret));
        Assert.Contains("cannot listen on", taken.Message, StringComparison.Ordinal);

        var tooLong = await Assert.ThrowsAsync<RendezvousConnectionException>(
            () => StoreServer.StartAsync("/tmp/" + new string('x', 100), "job", job.Secret));
        Assert.Contains("has 105 bytes and the system takes 100", tooLong.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("http://127.0.0.1:80")]
    [InlineData("unix:relative/path")]
    [InlineData("")]
    public void Connect_ToWhatIsNoAddress_SaysWhatOneLooksLike(string address)
    {
        var error = Assert.Throws<RendezvousConnectionException>(() => GrpcStore.Connect(address, "job", JobSecret.Create()));
        Assert.Contains("unix:/absolute/path", error.Message, StringComparison.Ordinal);
    }

    private static GrpcChannel Open(StoreServer server) => GrpcChannel.ForAddress(
        "http://localhost",
        new GrpcChannelOptions { HttpHandler = UnixChannel.CreateHandler(UnixSocketAddress.PathOf(server.Address), TimeSpan.FromSeconds(5)), DisposeHttpClient = true });

    private static Func<Task>[] CallsWith(Store.StoreClient client, CallOptions options) =>
    [
        async () => await client.SetAsync(new SetRequest { Key = "key" }, options),
        async () => await client.GetAsync(new GetRequest { Key = "key" }, options),
        async () => await client.WaitAsync(new WaitRequest { Keys = { "key" } }, options),
        async () => await client.AddAsync(new AddRequest { Key = "key" }, options),
        async () => await client.CompareSetAsync(new CompareSetRequest { Key = "key" }, options),
    ];
}
