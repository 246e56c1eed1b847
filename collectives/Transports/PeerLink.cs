using Distributed.Collectives.Transports.SharedMemory;

namespace Distributed.Collectives.Transports;

/// <summary>
/// The message protocol between this rank and one peer, above whatever transport connects them: it numbers the segments that leave,
/// and takes one that arrives only if it is the very one that the running operation expects.
/// </summary>
internal sealed class PeerLink(PeerTransport transport, RunningOperation operation, GroupFailure failure)
{
    private ulong _sent;
    private ulong _received;

    /// <summary>The payload that has been sent.</summary>
    public long SentByteCount { get; private set; }

    /// <inheritdoc cref="PeerTransport.LastPhase"/>
    public string LastPhase => transport.LastPhase;

    /// <summary>The rank at the other end, in the whole group.</summary>
    public int PeerRank => transport.PeerRank;

    /// <inheritdoc cref="PeerTransport.BoardReader"/>
    public SegmentRing? BoardReader => transport.BoardReader;

    /// <summary>Sends one segment of a message of the running operation.</summary>
    /// <param name="payload">[byte]; free for reuse on return.</param>
    /// <param name="messageByteCount">The length of the whole message.</param>
    /// <param name="place">Where the payload lies on this rank's board, if the peer is to read it there.</param>
    public void Send(ReadOnlySpan<byte> payload, long messageByteCount, int place = PayloadBoard.Nowhere)
    {
        transport.Send(new SegmentHeader(operation.Operation, operation.Tag, _sent++, messageByteCount, operation.Detail), payload, operation, place);
        SentByteCount += payload.Length;
    }

    /// <summary>Receives the next segment, of the length of <paramref name="destination"/>, of a message of <paramref name="messageByteCount"/>.</summary>
    /// <exception cref="PeerProtocolException">The peer sent another one.</exception>
    public void Receive(Span<byte> destination, long messageByteCount)
    {
        Borrow(destination.Length, messageByteCount).CopyTo(destination);
        Release();
    }

    /// <summary>
    /// Receives the next segment, of <paramref name="byteCount"/> bytes, and leaves it where it has arrived until <see cref="Release"/>.
    /// </summary>
    /// <exception cref="PeerProtocolException">The peer sent another one.</exception>
    public ReadOnlySpan<byte> Borrow(int byteCount, long messageByteCount)
    {
        var received = transport.Receive(operation);
        var header = received.Header;
        var payload = received.Payload;
        if (header.Sequence != _received)
        {
            throw Mismatch($"rank {transport.PeerRank} sent segment {header.Sequence} where {_received} was due; one was lost, repeated or reordered");
        }

        _received++;
        var due = new SegmentHeader(operation.Operation, operation.Tag, header.Sequence, messageByteCount, operation.Detail);
        if (header != due)
        {
            throw Mismatch(
                $"rank {transport.PeerRank} is in {Name(header)} while this rank is in {Name(due)}; all ranks call the same operations in the same order with the same lengths");
        }

        if (payload.Length != byteCount)
        {
            throw Mismatch($"rank {transport.PeerRank} sent a segment of {payload.Length} bytes where one of {byteCount} was due");
        }

        return payload;
    }

    /// <summary>Waits for the next segment without failing where none comes in time.</summary>
    public bool WaitForArrival() => transport.WaitForArrival(operation);

    /// <summary>Gives a borrowed segment back.</summary>
    public void Release() => transport.Release();

    private static string Name(SegmentHeader segment) => $"{segment.Operation} (tag {segment.Tag}, {segment.MessageByteCount} bytes{segment.Detail})";

    private CollectiveException Mismatch(string what) => failure.Fail(FailureKind.Protocol, transport.PeerRank, what);
}
