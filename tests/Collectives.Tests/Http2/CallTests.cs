using Distributed.Protos;
using Google.Protobuf;
using Grpc.Core;

namespace Distributed.Collectives.Tests.Http2;

/// <summary>gRPC over our HTTP/2 and over the platform's, in every combination: each has to understand the other.</summary>
public sealed class CallTests
{
    public static TheoryData<bool, bool, bool> Combinations => new()
    {
        // The platform's client, Kestrel, TLS.
        { false, false, false },
        { false, false, true },
        { true, false, false },
        { false, true, false },
    };

    [Theory]
    [MemberData(nameof(Combinations))]
    public async Task Stream_OfMessagesOfAllSizes_ComesBackAndEndsInOrder(bool isPlatform, bool isKestrel, bool isTls)
    {
        await using var host = await EchoHost.StartAsync(isKestrel);
        using var channel = host.OpenChannel(isPlatform, isTls);
        using var call = new Peer.PeerClient(channel).Connect();
        var random = new Random(3);
        foreach (var length in new[] { 0, 1, 100, 16_000, 16_384, 65_536, 100_000, 1 << 20, 3_000_001, 5 })
        {
            var bytes = new byte[length];
            random.NextBytes(bytes);
            var sent = new PeerFrame { Segment = new Protos.Segment { Payload = ByteString.CopyFrom(bytes) } };
            var write = call.RequestStream.WriteAsync(sent);
            Assert.True(await call.ResponseStream.MoveNext(CancellationToken.None).DefaultTimeout());
            await write.DefaultTimeout();
            Assert.Equal(sent, call.ResponseStream.Current);
        }

        await call.RequestStream.CompleteAsync();
        Assert.False(await call.ResponseStream.MoveNext(CancellationToken.None).DefaultTimeout());
        Assert.Equal(StatusCode.OK, call.GetStatus().StatusCode);
    }

    [Theory]
    [MemberData(nameof(Combinations))]
    public async Task Call_ThatTheServerEnds_HasItsStatusAndTrailers(bool isPlatform, bool isKestrel, bool isTls)
    {
        await using var host = await EchoHost.StartAsync(isKestrel);
        using var channel = host.OpenChannel(isPlatform, isTls);
        using var call = new Peer.PeerClient(channel).Connect();
        await call.RequestStream.WriteAsync(new PeerFrame { Heartbeat = new Heartbeat() });
        var error = await Assert.ThrowsAsync<RpcException>(() => call.ResponseStream.MoveNext(CancellationToken.None)).DefaultTimeout();
        Assert.Equal(StatusCode.FailedPrecondition, error.StatusCode);
        Assert.Equal("no heartbeats here, 100 %", error.Status.Detail);
        Assert.Equal("1", call.GetTrailers().GetValue("x-end"));
    }

    [Theory]
    [MemberData(nameof(Combinations))]
    public async Task Call_ThatTheClientDrops_EndsAndTheNextIsTaken(bool isPlatform, bool isKestrel, bool isTls)
    {
        await using var host = await EchoHost.StartAsync(isKestrel);
        for (var i = 0; i < 10; i++)
        {
            using var channel = host.OpenChannel(isPlatform, isTls);
            using var call = new Peer.PeerClient(channel).Connect();
            await call.RequestStream.WriteAsync(new PeerFrame { Leave = new Leave() }).DefaultTimeout();
            Assert.True(await call.ResponseStream.MoveNext(CancellationToken.None).DefaultTimeout());
            var read = call.ResponseStream.MoveNext(CancellationToken.None);
            call.Dispose();
            Assert.Equal(StatusCode.Cancelled, (await Assert.ThrowsAsync<RpcException>(() => read).DefaultTimeout()).StatusCode);
        }
    }

    [Fact]
    public async Task Server_ThatEnds_EndsItsCalls()
    {
        var host = await EchoHost.StartAsync(isKestrel: false);
        using var channel = host.OpenChannel(isPlatform: false);
        using var call = new Peer.PeerClient(channel).Connect();
        await call.RequestStream.WriteAsync(new PeerFrame { Leave = new Leave() }).DefaultTimeout();
        Assert.True(await call.ResponseStream.MoveNext(CancellationToken.None).DefaultTimeout());
        var path = host.Path;
        await host.DisposeAsync();
        Assert.Equal(StatusCode.Unavailable, (await Assert.ThrowsAsync<RpcException>(() => call.ResponseStream.MoveNext(CancellationToken.None)).DefaultTimeout()).StatusCode);
        Assert.False(File.Exists(path));
    }

    [Fact]
    public async Task Connections_BeyondTheLimit_AreClosed()
    {
        await using var host = await EchoHost.StartAsync(isKestrel: false, maxConnectionCount: 4);
        var taken = new List<(Grpc.Net.Client.GrpcChannel Channel, AsyncDuplexStreamingCall<PeerFrame, PeerFrame> Call)>();
        for (var i = 0; i < 4; i++)
        {
            var channel = host.OpenChannel(isPlatform: false);
            var call = new Peer.PeerClient(channel).Connect();
            taken.Add((channel, call));
            await call.RequestStream.WriteAsync(new PeerFrame { Leave = new Leave() }).DefaultTimeout();
            Assert.True(await call.ResponseStream.MoveNext(CancellationToken.None).DefaultTimeout());
        }

        using (var more = host.OpenChannel(isPlatform: false))
        using (var call = new Peer.PeerClient(more).Connect())
        {
            Assert.Equal(StatusCode.Unavailable, (await Assert.ThrowsAsync<RpcException>(() => call.ResponseStream.MoveNext(CancellationToken.None)).DefaultTimeout()).StatusCode);
        }

        foreach (var (channel, call) in taken)
        {
            call.Dispose();
            channel.Dispose();
        }
    }
}
