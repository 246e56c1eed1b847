using Distributed.Collectives.Launching;
using Distributed.Collectives.Transports.Grpc;
using Distributed.Protos;
using Google.Protobuf;
using Grpc.Core;
using Grpc.Net.Client;

namespace Distributed.Collectives.Tests;

/// <summary>Plays rank 1 of a world of two frame by frame, so that it can do what no rank does.</summary>
internal sealed class RawPeer : IDisposable
{
    private readonly GrpcChannel _channel;
    private readonly AsyncDuplexStreamingCall<PeerFrame, PeerFrame> _call;
    private ulong _sequence;

    private RawPeer(GrpcChannel channel)
    {
        _channel = channel;
        _call = new Peer.PeerClient(channel).Connect(deadline: DateTime.UtcNow.AddSeconds(20));
    }

    public IClientStreamWriter<PeerFrame> Writer => _call.RequestStream;

    public IAsyncStreamReader<PeerFrame> Reader => _call.ResponseStream;

    /// <summary>Of the ranks that it meets: what is tested is the stream.</summary>
    public static PeerRendezvousOptions Options { get; } = new() { Transport = TransportChoice.Grpc, SilenceLimit = TimeSpan.FromMinutes(1) };

    /// <summary>Dials rank 0 of the job.</summary>
    public static RawPeer Dial(TestJob job)
        => new(PeerChannel.OpenUnix(RuntimeDirectory.SocketOf(job.Directory, rank: 0), TimeSpan.FromSeconds(20)));

    /// <summary>Who rank 1 is, with one thing or another about it wrong.</summary>
    public static PeerIdentity Identity(TestJob job, int epoch = 0, int worldSize = 2, int rank = 1, string? jobId = null, JobSecret? secret = null)
        => new(jobId ?? job.JobId, epoch, rank, worldSize, secret ?? job.Secret);

    /// <summary>Joins as rank 1 together with the real rank 0, and passes the barrier that ends a rendezvous.</summary>
    public static async Task<(RawPeer Peer, ProcessGroup Rank0)> JoinAsync(TestJob job)
    {
        var joining = PeerRendezvous.JoinAsync(job.Environment(0, 2), job.Envelope(0), Options);
        var peer = Dial(job);
        await peer.HandshakeAsync(Identity(job));
        await peer.SendAsync(peer.Segment(Operation.Barrier, tag: 0, messageByteCount: 0, []));
        return (peer, await joining.DefaultTimeout());
    }

    public Task HandshakeAsync(PeerIdentity identity) => PeerHandshake.DialAsync(identity, peer: 0, Reader, Writer, CancellationToken.None).DefaultTimeout();

    public Task SendAsync(Segment segment) => Writer.WriteAsync(new PeerFrame { Segment = segment }).DefaultTimeout();

    /// <summary>A segment as a rank would send it next.</summary>
    public Segment Segment(Operation operation, uint tag, ulong messageByteCount, byte[] payload) => new()
    {
        Operation = operation,
        Tag = tag,
        Sequence = _sequence++,
        MessageByteCount = messageByteCount,
        Crc32C = Crc32C.Of(payload),
        Payload = ByteString.CopyFrom(payload),
    };

    public void Dispose()
    {
        _call.Dispose();
        _channel.Dispose();
    }
}
