using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using Distributed.Collectives.Launching;
using Distributed.Collectives.Transports.Grpc;
using Distributed.Protos;
using Google.Protobuf;
using Grpc.Core;

namespace Distributed.Collectives.Tests;

/// <summary>Ranks of different hosts: TLS with pinned certificates, here on loopback between ranks that say they do not share a host.</summary>
public sealed class TlsTests
{
    [Fact]
    public async Task Operations_OverTls_DoWhatTheyDoInMemory()
    {
        await using var job = await TestJob.StartAsync();
        var world = await job.JoinAllAsync(3, rank => Apart(job, rank, 3), rank => OnHost($"host {rank}"));
        Assert.All(world, group => Assert.Equal("gRPC over TLS, 3 ranks on different hosts", group.TransportDescription));
        RankThreads.Run(world, group =>
        {
            OperationChecks.AllReduce(group, 100_001);
            OperationChecks.AllGather(group, 1001);
            OperationChecks.Gather(group, 1001);
            OperationChecks.Broadcast(group, 1001);
            OperationChecks.SendAndReceive(group, 1001);
            group.Barrier();
        });
    }

    [Fact]
    public async Task Join_OfTwoHosts_UsesSharedMemoryInsideAndTlsBetween()
    {
        await using var job = await TestJob.StartAsync();
        var world = await job.JoinAllAsync(3, rank => Apart(job, rank, 3), rank => OnHost(rank < 2 ? "left" : "right"));
        Assert.Equal("shared memory to rank 1; gRPC over TLS to rank 2", world[0].TransportDescription);
        Assert.Equal("gRPC over TLS, 3 ranks on different hosts", world[2].TransportDescription);
        RankThreads.Run(world, group => OperationChecks.AllReduce(group, 1001));
    }

    [Fact]
    public async Task Join_FromAHostThatTheLauncherDidNotNameApart_SaysSo()
    {
        await using var job = await TestJob.StartAsync();
        using var stop = new CancellationTokenSource();
        var zero = PeerRendezvous.JoinAsync(job.Environment(0, 2), job.Envelope(0), OnHost("left"), stop.Token);
        var error = await Assert.ThrowsAsync<RendezvousConnectionException>(
            () => PeerRendezvous.JoinAsync(job.Environment(1, 2), job.Envelope(1), OnHost("right"))).DefaultTimeout();

        Assert.Contains("Rank 0 is on another host than rank 1, but LOCAL_WORLD_SIZE says that all ranks share one", error.Message, StringComparison.Ordinal);
        Assert.False(zero.IsCompleted);
        await stop.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => zero).DefaultTimeout();
    }

    [Fact]
    public async Task Port_OfARank_SpeaksTlsOnlyAndOnTheOneAddress()
    {
        await using var job = await TestJob.StartAsync();
        var zero = PeerRendezvous.JoinAsync(Apart(job, 0, 2), job.Envelope(0), OnHost("left"));
        var endPoint = PeerDirectory.EndPointOf(await AddressOfRank0Async(job))!;
        Assert.Equal(IPAddress.Loopback, endPoint.Address);

        // Cleartext HTTP/2 gets no answer but the end of the connection.
        using (var cleartext = new TcpClient())
        {
            await cleartext.ConnectAsync(endPoint);
            var stream = cleartext.GetStream();
            await stream.WriteAsync((byte[])[.. "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"u8, 0, 0, 0, 4, 0, 0, 0, 0, 0]);
            var answer = new MemoryStream();
            try
            {
                await stream.CopyToAsync(answer).DefaultTimeout();
            }
            catch (IOException)
            {
                // A reset says the same.
            }

            Assert.True(answer.Length < 9 || answer.ToArray()[3] != 4, "the server answered with HTTP/2 settings");
        }

        // TLS without a client certificate gets no further than TLS.
        using (var anonymous = new TcpClient())
        {
            await anonymous.ConnectAsync(endPoint);
            await using var tls = new SslStream(anonymous.GetStream(), false, (_, certificate, _, _) => certificate is not null);
            await Assert.ThrowsAnyAsync<Exception>(async () =>
            {
                await tls.AuthenticateAsClientAsync("rank 0");
                await tls.WriteAsync("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"u8.ToArray());
                await tls.ReadExactlyAsync(new byte[9]).AsTask().DefaultTimeout();
            });
        }

        var one = PeerRendezvous.JoinAsync(Apart(job, 1, 2), job.Envelope(1), OnHost("right"));
        RankThreads.Run(await Task.WhenAll(zero, one).DefaultTimeout(), group => group.Barrier());
        using var closed = new TcpClient();
        await Assert.ThrowsAnyAsync<SocketException>(() => closed.ConnectAsync(endPoint));
    }

    [Fact]
    public async Task Handshake_WithACertificateThatTheRankHasNotPublished_IsRefusedThoughTheSecretIsRight()
    {
        await using var job = await TestJob.StartAsync();
        using var stop = new CancellationTokenSource();
        var zero = PeerRendezvous.JoinAsync(Apart(job, 0, 2), job.Envelope(0), OnHost("left"), stop.Token);
        var address = await AddressOfRank0Async(job);
        var self = RawPeer.Identity(job);
        using var published = PeerCertificate.Create(self);
        using var another = PeerCertificate.Create(self);
        await using (var store = job.Connect())
        {
            var own = new PeerAddress { CertificateSha256 = ByteString.CopyFrom(PeerCertificate.HashOf(published)) };
            await store.SetAsync("peer/0/1", own.ToByteArray());
        }

        using var channel = PeerChannel.OpenTls(
            PeerDirectory.EndPointOf(address)!, another, address.CertificateSha256.ToByteArray(), TimeSpan.FromSeconds(5));
        using var call = new Peer.PeerClient(channel).Connect();
        var error = await Assert.ThrowsAsync<RpcException>(
            () => PeerHandshake.DialAsync(self, peer: 0, call.ResponseStream, call.RequestStream, CancellationToken.None)).DefaultTimeout();

        Assert.Equal(StatusCode.Unauthenticated, error.StatusCode);
        Assert.Contains("the certificate is not the one that rank 1 has published", error.Status.Detail, StringComparison.Ordinal);
        Assert.False(zero.IsCompleted);
        await stop.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => zero).DefaultTimeout();
    }

    [Fact]
    public async Task Dial_OfAListenerWithAnotherCertificate_EndsBeforeAnythingIsSent()
    {
        await using var job = await TestJob.StartAsync();
        using var stop = new CancellationTokenSource();
        var zero = PeerRendezvous.JoinAsync(Apart(job, 0, 2), job.Envelope(0), OnHost("left"), stop.Token);
        var address = await AddressOfRank0Async(job);
        var self = RawPeer.Identity(job);
        using var own = PeerCertificate.Create(self);
        using var channel = PeerChannel.OpenTls(PeerDirectory.EndPointOf(address)!, own, peerHash: new byte[32], TimeSpan.FromSeconds(5));
        using var call = new Peer.PeerClient(channel).Connect();
        var error = await Assert.ThrowsAsync<RpcException>(
            () => PeerHandshake.DialAsync(self, peer: 0, call.ResponseStream, call.RequestStream, CancellationToken.None)).DefaultTimeout();

        Assert.True(error.StatusCode is StatusCode.Unavailable or StatusCode.Internal, error.ToString());
        Assert.False(zero.IsCompleted);
        await stop.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => zero).DefaultTimeout();
    }

    private static RankEnvironment Apart(TestJob job, int rank, int worldSize)
        => job.Environment(rank, worldSize) with { LocalWorldSize = 1, LocalRank = 0, GroupRank = rank, GroupWorldSize = worldSize };

    private static PeerRendezvousOptions OnHost(string identity) => new() { HostIdentity = identity, ListenAddress = IPAddress.Loopback };

    private static async Task<PeerAddress> AddressOfRank0Async(TestJob job)
    {
        await using var store = job.Connect();
        return PeerAddress.Parser.ParseFrom(await store.GetAsync("peer/0/0", TimeSpan.FromSeconds(20)).DefaultTimeout());
    }
}
