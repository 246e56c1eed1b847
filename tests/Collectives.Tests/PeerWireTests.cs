using Distributed.Collectives.Hosting;
using Distributed.Collectives.Launching;
using Distributed.Collectives.Transports;
using Distributed.Collectives.Transports.Grpc;
using Distributed.Protos;
using Google.Protobuf;
using Grpc.Core;

namespace Distributed.Collectives.Tests;

/// <summary>What a rank takes from the wire, and what it refuses.</summary>
public sealed class PeerWireTests
{
    private static readonly CollectiveOptions Tag5 = new(Tag: 5, Timeout: TimeSpan.FromSeconds(20));

    [Fact]
    public async Task Receive_OfWhatIsDue_Works()
    {
        await using var job = await TestJob.StartAsync();
        var (peer, rank0) = await RawPeer.JoinAsync(job);
        using (peer)
        using (rank0)
        {
            await peer.SendAsync(peer.Segment(Operation.Send, tag: 5, 3, [1, 2, 3]));
            var values = new byte[3];
            rank0.Receive(values, peer: 1, Tag5);
            Assert.Equal([1, 2, 3], values);
        }
    }

    public static TheoryData<string, string> Damages => new()
    {
        { "payload flipped", "the checksum of segment 1 from rank 1 is wrong" },
        { "sequence repeated", "rank 1 sent segment 0 where 1 was due" },
        { "sequence skipped", "rank 1 sent segment 2 where 1 was due" },
        { "operation unknown", "rank 1 sent operation 77, which does not exist" },
        { "operation missing", "rank 1 sent operation 0, which does not exist" },
        { "message longer", "rank 1 is in Send (tag 5, 4 bytes) while this rank is in Send (tag 5, 3 bytes)" },
        { "message length absurd", "rank 1 sent a segment of 3 bytes of a message of 18446744073709551615" },
        { "payload short", "rank 1 sent a segment of 2 bytes where one of 3 was due" },
        { "another tag", "rank 1 is in Send (tag 6, 3 bytes) while this rank is in Send (tag 5, 3 bytes)" },
    };

    [Theory]
    [MemberData(nameof(Damages))]
    public async Task Receive_OfADamagedSegment_IsAProtocolErrorThatSaysWhat(string damage, string expected)
    {
        await using var job = await TestJob.StartAsync();
        var (peer, rank0) = await RawPeer.JoinAsync(job);
        using (peer)
        using (rank0)
        {
            var segment = peer.Segment(Operation.Send, tag: 5, 3, [1, 2, 3]);
            switch (damage)
            {
                case "payload flipped": segment.Payload = ByteString.CopyFrom(1, 2, 2); break;
                case "sequence repeated": segment.Sequence = 0; break;
                case "sequence skipped": segment.Sequence = 2; break;
                case "operation unknown": segment.Operation = (Operation)77; break;
                case "operation missing": segment.Operation = Operation.Unspecified; break;
                case "message longer": segment.MessageByteCount = 4; break;
                case "message length absurd": segment.MessageByteCount = ulong.MaxValue; break;
                case "payload short": (segment.Payload, segment.Crc32C) = (ByteString.CopyFrom(1, 2), Crc32C.Of([1, 2])); break;
                case "another tag": segment.Tag = 6; break;
            }

            await peer.SendAsync(segment);
            var error = Assert.Throws<PeerProtocolException>(() => rank0.Receive(new byte[3], peer: 1, Tag5));
            Assert.Contains(expected, error.Message, StringComparison.Ordinal);
            Assert.Equal(1, error.PeerRank);

            // The peer is told the same.
            var abort = await NextAsync(peer, PeerFrame.ContentOneofCase.Abort);
            Assert.Equal(error.Message, abort.Abort.Cause);
        }
    }

    [Theory]
    [InlineData("handshake frame")]
    [InlineData("empty frame")]
    public async Task Receive_OfAFrameOutOfPlace_IsAProtocolError(string kind)
    {
        await using var job = await TestJob.StartAsync();
        var (peer, rank0) = await RawPeer.JoinAsync(job);
        using (peer)
        using (rank0)
        {
            await peer.Writer.WriteAsync(kind == "empty frame" ? new PeerFrame() : new PeerFrame { Hello = new Hello() });
            var error = Assert.Throws<PeerProtocolException>(() => rank0.Barrier(Tag5));
            Assert.Contains("which has no place after the handshake", error.Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task Receive_OfASegmentOverTheLimit_IsAProtocolError()
    {
        await using var job = await TestJob.StartAsync();
        var (peer, rank0) = await RawPeer.JoinAsync(job);
        using (peer)
        using (rank0)
        {
            var over = new byte[PeerTransport.MaxSegmentByteCount + 1];
            await peer.SendAsync(peer.Segment(Operation.Send, tag: 5, (ulong)over.Length, over));
            var error = Assert.Throws<PeerProtocolException>(() => rank0.Receive(new byte[over.Length], peer: 1, Tag5));
            Assert.Contains("rank 1 sent a segment of 1048577 bytes", error.Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task Receive_OfAMessageFarOverTheLimit_LosesThePeerWithoutHoldingIt()
    {
        await using var job = await TestJob.StartAsync();
        var joining = PeerRendezvous.JoinAsync(job.Environment(0, 2), job.Envelope(0), RawPeer.Options);
        var path = RuntimeDirectory.SocketOf(job.Directory, rank: 0);
        using var channel = Grpc.Net.Client.GrpcChannel.ForAddress(
            "http://localhost",
            new Grpc.Net.Client.GrpcChannelOptions { HttpHandler = UnixChannel.CreateHandler(path, TimeSpan.FromSeconds(20)), MaxSendMessageSize = 64 << 20 });
        using var call = new Peer.PeerClient(channel).Connect(deadline: DateTime.UtcNow.AddSeconds(20));
        await PeerHandshake.DialAsync(RawPeer.Identity(job), peer: 0, call.ResponseStream, call.RequestStream, CancellationToken.None).DefaultTimeout();
        await call.RequestStream.WriteAsync(new PeerFrame { Segment = new Protos.Segment { Operation = Operation.Barrier } });
        using var rank0 = await joining.DefaultTimeout();

        var write = call.RequestStream.WriteAsync(new PeerFrame { Segment = new Protos.Segment { Operation = Operation.Send, Payload = ByteString.CopyFrom(new byte[32 << 20]) } });
        var error = Assert.Throws<PeerLostException>(() => rank0.Receive(new byte[3], peer: 1, Tag5));
        Assert.Contains("lost rank 1", error.Message, StringComparison.Ordinal);
        await Assert.ThrowsAnyAsync<Exception>(async () =>
        {
            await write;
            await call.ResponseStream.MoveNext(CancellationToken.None);
            await call.ResponseStream.MoveNext(CancellationToken.None);
        }).DefaultTimeout();
    }

    public static TheoryData<string, StatusCode, string> Strangers => new()
    {
        { "another secret", StatusCode.Unauthenticated, "does not prove" },
        { "no proof", StatusCode.Unauthenticated, "the caller does not prove the secret of this job" },
        { "another job", StatusCode.FailedPrecondition, "rank 1 belongs to another job than rank 0" },
        { "an old epoch", StatusCode.FailedPrecondition, "rank 1 belongs to epoch 4 of the job and rank 0 to epoch 0" },
        { "another world", StatusCode.FailedPrecondition, "rank 1 was started with a world size of 3 and rank 0 with one of 2" },
        { "a rank outside", StatusCode.FailedPrecondition, "rank 2 wants to reach rank 0 of a world of 2, and this is rank 0" },
        { "its own rank", StatusCode.FailedPrecondition, "rank 0 dials rank 0, and the higher rank dials the lower one" },
        { "a segment first", StatusCode.InvalidArgument, "the handshake expects a Hello of at most 4096 bytes" },
        { "a hello of 8 KiB", StatusCode.InvalidArgument, "the handshake expects a Hello of at most 4096 bytes" },
        { "another version", StatusCode.FailedPrecondition, "rank 1 speaks version 9 of the peer protocol and rank 0 version 5" },
    };

    [Theory]
    [MemberData(nameof(Strangers))]
    public async Task Handshake_OfAStranger_IsRefusedWithAReasonAndTheRealRankStillJoins(string stranger, StatusCode code, string reason)
    {
        await using var job = await TestJob.StartAsync();
        var joining = PeerRendezvous.JoinAsync(job.Environment(0, 2), job.Envelope(0), RawPeer.Options);
        using (var peer = RawPeer.Dial(job))
        {
            var error = await Assert.ThrowsAsync<RpcException>(() => KnockAsync(job, peer, stranger));
            Assert.Equal(code, error.StatusCode);
            Assert.Contains(reason, error.Status.Detail, StringComparison.Ordinal);
            Assert.False(joining.IsCompleted);
        }

        var other = PeerRendezvous.JoinAsync(job.Environment(1, 2), job.Envelope(1), RawPeer.Options);
        RankThreads.Run(await Task.WhenAll(joining, other).DefaultTimeout(), group => group.Barrier());
    }

    [Fact]
    public async Task Handshake_OfASecondProcessWithTheSameRank_IsRefused()
    {
        await using var job = await TestJob.StartAsync();
        var (peer, rank0) = await RawPeer.JoinAsync(job);
        using (peer)
        using (rank0)
        using (var second = RawPeer.Dial(job))
        {
            var error = await Assert.ThrowsAsync<RpcException>(() => second.HandshakeAsync(RawPeer.Identity(job)));
            Assert.Equal(StatusCode.AlreadyExists, error.StatusCode);
            Assert.Contains("two processes claim its number", error.Status.Detail, StringComparison.Ordinal);

            await peer.SendAsync(peer.Segment(Operation.Barrier, tag: 5, 0, []));
            rank0.Barrier(Tag5); // the first one is not disturbed
        }
    }

    [Fact]
    public async Task Handshake_WithAListenerThatDoesNotKnowTheSecret_IsEndedByTheDialer()
    {
        // The listener believes in another secret; the dialer must find out before it gives a proof of its own.
        await using var job = await TestJob.StartAsync();
        var other = JobSecret.Create();
        var path = RuntimeDirectory.SocketOf(job.Directory, rank: 0);
        var operation = new RunningOperation(rank: 0);
        await using var impostor = await PeerListener.StartAsync(
            RawPeer.Identity(job, rank: 0, secret: other), new GroupFailure(operation), TransportChoice.Grpc, path, null, null, null, PeerHandshake.DefaultLimit, default);
        using var peer = RawPeer.Dial(job);

        var error = await Assert.ThrowsAsync<RpcException>(() => peer.HandshakeAsync(RawPeer.Identity(job)));
        Assert.Contains("what answers in the place of rank 0 does not prove that it is this rank of this job", error.Status.Detail, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Socket_FedWithGarbage_ClosesThatConnectionOnly()
    {
        await using var job = await TestJob.StartAsync();
        var joining = PeerRendezvous.JoinAsync(job.Environment(0, 2), job.Envelope(0), RawPeer.Options);
        var path = RuntimeDirectory.SocketOf(job.Directory, rank: 0);
        var random = new Random(20);
        for (var i = 0; i < 20; i++)
        {
            using var connection = await UnixSocketAddress.ConnectAsync(path, TimeSpan.FromSeconds(20), CancellationToken.None);
            var garbage = new byte[random.Next(1, 5000)];
            random.NextBytes(garbage);
            byte[] sent = i % 2 == 0 ? [.. "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"u8, .. garbage] : garbage;
            await connection.SendAsync(sent);
        }

        var other = PeerRendezvous.JoinAsync(job.Environment(1, 2), job.Envelope(1), RawPeer.Options);
        RankThreads.Run(await Task.WhenAll(joining, other).DefaultTimeout(), group => OperationChecks.AllReduce(group, 100));
    }

    [Fact]
    public async Task Handshake_OfRandomMessages_IsRefusedEveryTimeAndTheRealRankStillJoins()
    {
        var bytes = Marshallers.Create<byte[]>(message => message, message => message);
        var method = new Method<byte[], byte[]>(MethodType.DuplexStreaming, "distributed.Peer", "Connect", bytes, bytes);
        await using var job = await TestJob.StartAsync();
        var joining = PeerRendezvous.JoinAsync(job.Environment(0, 2), job.Envelope(0), RawPeer.Options);
        using (var channel = PeerChannel.OpenUnix(RuntimeDirectory.SocketOf(job.Directory, rank: 0), TimeSpan.FromSeconds(20)))
        {
            var random = new Random(11);
            for (var i = 0; i < 100; i++)
            {
                using var call = channel.CreateCallInvoker().AsyncDuplexStreamingCall(method, null, new CallOptions(deadline: DateTime.UtcNow.AddSeconds(20)));
                var message = new byte[random.Next(0, 200)];
                random.NextBytes(message);
                var error = await Assert.ThrowsAsync<RpcException>(async () =>
                {
                    await call.RequestStream.WriteAsync(message);
                    await call.ResponseStream.MoveNext(CancellationToken.None);
                }).DefaultTimeout();
                Assert.True(error.StatusCode is StatusCode.Internal or StatusCode.InvalidArgument or StatusCode.Unknown, error.ToString());
            }
        }

        var other = PeerRendezvous.JoinAsync(job.Environment(1, 2), job.Envelope(1), RawPeer.Options);
        RankThreads.Run(await Task.WhenAll(joining, other).DefaultTimeout(), group => group.Barrier());
    }

    private static async Task KnockAsync(TestJob job, RawPeer peer, string stranger)
    {
        switch (stranger)
        {
            case "another secret":
                await peer.HandshakeAsync(RawPeer.Identity(job, secret: JobSecret.Create()));
                break;
            case "another job":
                await peer.HandshakeAsync(RawPeer.Identity(job, jobId: "another"));
                break;
            case "an old epoch":
                await peer.HandshakeAsync(RawPeer.Identity(job, epoch: 4));
                break;
            case "another world":
                await peer.HandshakeAsync(RawPeer.Identity(job, worldSize: 3));
                break;
            case "a rank outside":
                await peer.HandshakeAsync(RawPeer.Identity(job, rank: 2));
                break;
            case "its own rank":
                await peer.HandshakeAsync(RawPeer.Identity(job, rank: 0));
                break;
            case "a segment first":
                await peer.SendAsync(peer.Segment(Operation.Barrier, tag: 0, 0, []));
                await NextAsync(peer, PeerFrame.ContentOneofCase.Hello);
                break;
            case "a hello of 8 KiB":
                await peer.Writer.WriteAsync(new PeerFrame { Hello = new Hello { JobId = new string('x', 8192) } });
                await NextAsync(peer, PeerFrame.ContentOneofCase.Hello);
                break;
            case "no proof":
            case "another version":
                var hello = new Hello { ProtocolVersion = 9, JobId = job.JobId, SourceRank = 1, WorldSize = 2, Nonce = ByteString.CopyFrom(new byte[32]) };
                await peer.Writer.WriteAsync(new PeerFrame { Hello = hello });
                var answer = await NextAsync(peer, PeerFrame.ContentOneofCase.Hello);
                var proof = stranger == "no proof" ? new byte[32] : job.Secret.Prove("peer dialer", PeerHandshake.Transcript(hello, answer.Hello));
                await peer.Writer.WriteAsync(new PeerFrame { Proof = new Proof { HmacSha256 = ByteString.CopyFrom(proof) } });
                await NextAsync(peer, PeerFrame.ContentOneofCase.Welcome);
                break;
        }
    }

    private static async Task<PeerFrame> NextAsync(RawPeer peer, PeerFrame.ContentOneofCase kind)
    {
        while (await peer.Reader.MoveNext(CancellationToken.None).DefaultTimeout())
        {
            if (peer.Reader.Current.ContentCase == kind)
            {
                return peer.Reader.Current;
            }
        }

        throw new InvalidOperationException($"The stream ended without a {kind}.");
    }
}
