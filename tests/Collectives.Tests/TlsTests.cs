using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Distributed.Collectives.Launching;
using Distributed.Collectives.Transports.Grpc;
using Distributed.Protos;
using Grpc.Core;

namespace Distributed.Collectives.Tests;

/// <summary>Ranks of different hosts: TLS with certificates of the job, here on loopback between ranks that say they do not share a host.</summary>
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

    public static TheoryData<string, string> Strangers => new()
    {
        { "another rank's", "the certificate shown is that of rank 2 of epoch 0, and not of rank 1 of epoch 0" },
        { "of an old epoch", "the certificate shown is that of rank 1 of epoch 7, and not of rank 1 of epoch 0" },
        { "of another job", "" },
        { "of another secret", "" },
        { "of nobody", "" },
        { "with another key", "" },
    };

    [Theory]
    [MemberData(nameof(Strangers))]
    public async Task Handshake_WithACertificateThatIsNotTheRanks_IsRefusedThoughTheSecretIsRight(string stranger, string reason)
    {
        await using var job = await TestJob.StartAsync();
        using var stop = new CancellationTokenSource();
        var zero = PeerRendezvous.JoinAsync(Apart(job, 0, 2), job.Envelope(0), OnHost("left"), stop.Token);
        var endPoint = PeerDirectory.EndPointOf(await AddressOfRank0Async(job))!;
        var self = RawPeer.Identity(job);
        using var certificate = Certificate(job, stranger);
        using (var channel = PeerChannel.OpenTls(endPoint, certificate, self, peer: 0, TimeSpan.FromSeconds(20)))
        using (var call = new Peer.PeerClient(channel).Connect())
        {
            var error = await Assert.ThrowsAsync<RpcException>(
                () => PeerHandshake.DialAsync(self, peer: 0, call.ResponseStream, call.RequestStream, CancellationToken.None)).DefaultTimeout();
            if (reason.Length > 0)
            {
                Assert.Equal(StatusCode.Unauthenticated, error.StatusCode);
                Assert.Contains(reason, error.Status.Detail, StringComparison.Ordinal);
            }
            else
            {
                Assert.NotEqual(StatusCode.Unauthenticated, error.StatusCode); // it has not come as far as the handshake, which would say so
            }
        }

        Assert.False(zero.IsCompleted);
        var one = PeerRendezvous.JoinAsync(Apart(job, 1, 2), job.Envelope(1), OnHost("right"));
        RankThreads.Run(await Task.WhenAll(zero, one).DefaultTimeout(), group => group.Barrier());
    }

    [Theory]
    [InlineData("rank", "that of rank 0 of epoch 0, and not of rank 5 of epoch 0")]
    [InlineData("epoch", "that of rank 0 of epoch 0, and not of rank 0 of epoch 3")]
    [InlineData("job", "the certificate shown in the place of rank 0 was not issued by this job")]
    [InlineData("secret", "the certificate shown in the place of rank 0 was not issued by this job")]
    public async Task Dial_OfAListenerWithAnotherCertificate_EndsBeforeAnythingIsSent(string what, string expected)
    {
        await using var job = await TestJob.StartAsync();
        using var stop = new CancellationTokenSource();
        var zero = PeerRendezvous.JoinAsync(Apart(job, 0, 2), job.Envelope(0), OnHost("left"), stop.Token);
        var endPoint = PeerDirectory.EndPointOf(await AddressOfRank0Async(job))!;
        var self = RawPeer.Identity(
            job, epoch: what == "epoch" ? 3 : 0, jobId: what == "job" ? "another" : null, secret: what == "secret" ? JobSecret.Create() : null);
        using var own = PeerCertificate.Create(self);
        using var channel = PeerChannel.OpenTls(endPoint, own, self, what == "rank" ? 5 : 0, TimeSpan.FromSeconds(20));
        using var call = new Peer.PeerClient(channel).Connect();
        var error = await Assert.ThrowsAsync<RpcException>(() => call.ResponseStream.MoveNext(CancellationToken.None)).DefaultTimeout();

        Assert.Equal(StatusCode.Unavailable, error.StatusCode);
        Assert.Contains(expected, error.Status.Detail, StringComparison.Ordinal);
        Assert.False(zero.IsCompleted);
        await stop.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => zero).DefaultTimeout();
    }

    // Of one who could be rank 1, but for one thing.
    private static X509Certificate2 Certificate(TestJob job, string stranger)
    {
        switch (stranger)
        {
            case "another rank's":
                return PeerCertificate.Create(RawPeer.Identity(job, rank: 2));
            case "of an old epoch":
                return PeerCertificate.Create(RawPeer.Identity(job, epoch: 7));
            case "of another job":
                return PeerCertificate.Create(RawPeer.Identity(job, jobId: "another"));
            case "of another secret":
                return PeerCertificate.Create(RawPeer.Identity(job, secret: JobSecret.Create()));
            case "of nobody":
                return PeerCertificate.Create("CN=rank 1 of epoch 0");
            default:
                // What vouches for the rank's certificate, on one with another key.
                using (var issued = PeerCertificate.Create(RawPeer.Identity(job)))
                using (var key = ECDsa.Create(ECCurve.NamedCurves.nistP256))
                {
                    var request = new CertificateRequest(issued.SubjectName, key, HashAlgorithmName.SHA256);
                    foreach (var extension in issued.Extensions)
                    {
                        request.CertificateExtensions.Add(extension);
                    }

                    return request.CreateSelfSigned(issued.NotBefore, issued.NotAfter);
                }
        }
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
