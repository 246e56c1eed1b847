using System.Buffers;
using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;
using Distributed.Protos;
using Google.Protobuf;
using Grpc.Core;

namespace Distributed.Collectives.Transports.Grpc;

/// <summary>
/// The first frames between two ranks (peer.proto). Each side proves that it knows the job's secret by an HMAC over both hellos, which
/// hold a fresh nonce of either side, the job, the epoch and both ranks: a proof fits one connection, one direction, one role.
/// The proofs come first; only a peer that has given one is told what does not match.
/// </summary>
internal static class PeerHandshake
{
    /// <summary>For the whole handshake, unless another is asked for: it takes milliseconds, but a machine that starts many ranks at once is busy.</summary>
    public static readonly TimeSpan DefaultLimit = TimeSpan.FromSeconds(30);

    /// <summary>No frame of a handshake is larger.</summary>
    public const int MaxFrameByteCount = 4096;

    private const int NonceByteCount = 32;
    private const string DialerPurpose = "peer dialer";
    private const string ListenerPurpose = "peer listener";

    /// <summary>The dialer's part.</summary>
    /// <returns>The shared memory that the listener offers, if it does: then <see cref="AnswerAsync"/> has to follow.</returns>
    /// <exception cref="RpcException">Either side refuses the other, or the connection ended.</exception>
    public static async Task<Welcome> DialAsync(
        PeerIdentity self, int peer, IAsyncStreamReader<PeerFrame> reader, IAsyncStreamWriter<PeerFrame> writer, CancellationToken cancellationToken)
    {
        var hello = HelloOf(self, (uint)peer);
        await writer.WriteAsync(new PeerFrame { Hello = hello }, cancellationToken);

        var answer = (await ReadAsync(reader, PeerFrame.ContentOneofCase.Hello, cancellationToken)).Hello;
        var transcript = Transcript(hello, answer);
        if (answer.SourceRank != peer || !self.Secret.Verify(ListenerPurpose, transcript, answer.Proof.Span))
        {
            throw Refusal(StatusCode.Unauthenticated, $"what answers in the place of rank {peer} does not prove that it is this rank of this job");
        }

        var proof = new Proof { HmacSha256 = UnsafeByteOperations.UnsafeWrap(self.Secret.Prove(DialerPurpose, transcript)) };
        await writer.WriteAsync(new PeerFrame { Proof = proof }, cancellationToken);
        var welcome = (await ReadAsync(reader, PeerFrame.ContentOneofCase.Welcome, cancellationToken)).Welcome;
        ThrowIfMismatch(self, answer);
        return welcome;
    }

    /// <summary>The dialer's answer to an offer of shared memory, with an offer of its own board, if it has one.</summary>
    public static Task AnswerAsync(IAsyncStreamWriter<PeerFrame> writer, bool isMapped, MemoryOffer? board, CancellationToken cancellationToken)
        => writer.WriteAsync(new PeerFrame { Mapped = new Mapped { IsMapped = isMapped, Board = board } }, cancellationToken);

    /// <summary>The listener's part, up to the welcome.</summary>
    /// <returns>The rank that dials, which has proved itself and belongs to this world.</returns>
    /// <exception cref="RpcException">The status with which the call ends: the dialer is refused.</exception>
    public static async Task<int> AcceptAsync(
        PeerIdentity self, IAsyncStreamReader<PeerFrame> reader, IAsyncStreamWriter<PeerFrame> writer, CancellationToken cancellationToken)
    {
        var hello = (await ReadAsync(reader, PeerFrame.ContentOneofCase.Hello, cancellationToken)).Hello;
        var answer = HelloOf(self, hello.SourceRank);
        var transcript = Transcript(hello, answer);
        answer.Proof = UnsafeByteOperations.UnsafeWrap(self.Secret.Prove(ListenerPurpose, transcript));
        await writer.WriteAsync(new PeerFrame { Hello = answer }, cancellationToken);

        var proof = (await ReadAsync(reader, PeerFrame.ContentOneofCase.Proof, cancellationToken)).Proof;
        if (!self.Secret.Verify(DialerPurpose, transcript, proof.HmacSha256.Span))
        {
            throw Refusal(StatusCode.Unauthenticated, "the caller does not prove the secret of this job");
        }

        ThrowIfMismatch(self, hello);
        return hello.SourceRank > self.Rank
            ? (int)hello.SourceRank
            : throw Refusal(StatusCode.FailedPrecondition, $"rank {hello.SourceRank} dials rank {self.Rank}, and the higher rank dials the lower one");
    }

    /// <summary>The listener's last word, with an offer of shared memory, and of its board, where it has made some.</summary>
    /// <returns>Whether the dialer has mapped what was offered, and its own board, if it has one.</returns>
    public static async Task<Mapped> WelcomeAsync(
        IAsyncStreamReader<PeerFrame> reader, IAsyncStreamWriter<PeerFrame> writer, MemoryOffer? offer, MemoryOffer? board, CancellationToken cancellationToken)
    {
        await writer.WriteAsync(new PeerFrame { Welcome = new Welcome { SharedMemory = offer, Board = board } }, cancellationToken);
        return offer is null ? new Mapped() : (await ReadAsync(reader, PeerFrame.ContentOneofCase.Mapped, cancellationToken)).Mapped;
    }

    /// <summary>A refusal, in words for the other side.</summary>
    public static RpcException Refusal(StatusCode code, string reason) => new(new Status(code, reason));

    private static Hello HelloOf(PeerIdentity self, uint destination) => new()
    {
        ProtocolVersion = PeerIdentity.ProtocolVersion,
        JobId = self.JobId,
        Epoch = (uint)self.Epoch,
        SourceRank = (uint)self.Rank,
        DestinationRank = destination,
        WorldSize = (uint)self.WorldSize,
        Nonce = UnsafeByteOperations.UnsafeWrap(RandomNumberGenerator.GetBytes(NonceByteCount)),
    };

    private static async Task<PeerFrame> ReadAsync(
        IAsyncStreamReader<PeerFrame> reader, PeerFrame.ContentOneofCase expected, CancellationToken cancellationToken)
    {
        if (!await reader.MoveNext(cancellationToken))
        {
            throw Refusal(StatusCode.Unavailable, "the connection ended during the handshake");
        }

        var frame = reader.Current;
        return frame.ContentCase == expected && frame.CalculateSize() <= MaxFrameByteCount
            ? frame
            : throw Refusal(StatusCode.InvalidArgument, $"the handshake expects a {expected} of at most {MaxFrameByteCount} bytes");
    }

    // What both proofs cover: every field of both hellos, each of a fixed length or behind its length, the dialer's first.
    internal static byte[] Transcript(Hello dialer, Hello listener)
    {
        var bytes = new ArrayBufferWriter<byte>();
        foreach (var hello in (ReadOnlySpan<Hello>)[dialer, listener])
        {
            foreach (var number in (ReadOnlySpan<uint>)[hello.ProtocolVersion, hello.Epoch, hello.SourceRank, hello.DestinationRank, hello.WorldSize])
            {
                BinaryPrimitives.WriteUInt32LittleEndian(bytes.GetSpan(sizeof(uint)), number);
                bytes.Advance(sizeof(uint));
            }

            foreach (var field in (ReadOnlySpan<byte[]>)[Encoding.UTF8.GetBytes(hello.JobId), hello.Nonce.ToByteArray()])
            {
                BinaryPrimitives.WriteInt32LittleEndian(bytes.GetSpan(sizeof(int)), field.Length);
                bytes.Advance(sizeof(int));
                bytes.Write(field);
            }
        }

        return bytes.WrittenSpan.ToArray();
    }

    // Both sides know the secret; do they mean the same world?
    private static void ThrowIfMismatch(PeerIdentity self, Hello other)
    {
        var (we, they) = ($"rank {self.Rank}", $"rank {other.SourceRank}");
        var mismatch =
            other.ProtocolVersion != PeerIdentity.ProtocolVersion
                ? $"{they} speaks version {other.ProtocolVersion} of the peer protocol and {we} version {PeerIdentity.ProtocolVersion}; run all ranks from one build"
            : other.JobId != self.JobId
                ? $"{they} belongs to another job than {we}"
            : other.Epoch != self.Epoch
                ? $"{they} belongs to epoch {other.Epoch} of the job and {we} to epoch {self.Epoch}; one of them is left over from before a restart"
            : other.WorldSize != self.WorldSize
                ? $"{they} was started with a world size of {other.WorldSize} and {we} with one of {self.WorldSize}; start all ranks with the same"
            : other.DestinationRank != self.Rank || other.SourceRank >= self.WorldSize
                ? $"{they} wants to reach rank {other.DestinationRank} of a world of {other.WorldSize}, and this is {we}"
            : null;
        if (mismatch is not null)
        {
            throw Refusal(StatusCode.FailedPrecondition, mismatch);
        }
    }
}
