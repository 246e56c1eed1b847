using Distributed.Collectives.Transports.SharedMemory;
using Distributed.Protos;

namespace Distributed.Collectives.Transports;

/// <summary>What identifies a segment: a piece of at most <see cref="PeerTransport.MaxSegmentByteCount"/> of one message.</summary>
/// <param name="Operation">The operation that the message belongs to.</param>
/// <param name="Tag">The operation's tag.</param>
/// <param name="Sequence">Counts the segments of one direction between two ranks, from 0.</param>
/// <param name="MessageByteCount">The length of the whole message.</param>
/// <param name="Detail">What else the ranks have to agree on.</param>
internal readonly record struct SegmentHeader(Operation Operation, uint Tag, ulong Sequence, long MessageByteCount, OperationDetail Detail = default);

/// <summary>A segment that has arrived and waits to be received.</summary>
/// <param name="Header">What the peer says it is.</param>
/// <param name="Payload">[byte]</param>
internal readonly record struct Segment(SegmentHeader Header, ReadOnlyMemory<byte> Payload);

/// <summary>A received segment, until <see cref="PeerTransport.Release"/>.</summary>
/// <param name="header">What the peer says it is.</param>
/// <param name="payload">[byte]; where it has arrived, which may be memory that is shared with the peer.</param>
internal readonly ref struct ReceivedSegment(SegmentHeader header, ReadOnlySpan<byte> payload)
{
    public readonly SegmentHeader Header = header;
    public readonly ReadOnlySpan<byte> Payload = payload;
}

/// <summary>
/// One end of the connection between this rank and one peer. It moves segments in order, both ways at once, and says when the
/// connection ends; what the segments mean is <see cref="PeerLink"/>'s matter.
/// </summary>
/// <remarks>
/// <see cref="Send"/> and <see cref="Receive"/> belong to the group's owner thread. A transport reports the loss of its peer, and an abort
/// that the peer tells of, to the rank's <see cref="GroupFailure"/> as soon as it learns of it, also between operations.
/// </remarks>
internal abstract class PeerTransport(int peerRank) : IDisposable
{
    /// <summary>The most that one segment carries.</summary>
    public const int MaxSegmentByteCount = 1 << 20;

    /// <summary>The rank at the other end.</summary>
    public int PeerRank => peerRank;

    /// <summary>What connects the two, for the user.</summary>
    public abstract string Name { get; }

    /// <summary>Where the peer was when it was last heard of, for the end of an error's clause; empty where it was not.</summary>
    public virtual string LastPhase => "";

    /// <summary>How long this rank has waited for the peer's segments.</summary>
    public abstract TimeSpan Waited { get; }

    /// <summary>How long nothing has come from the peer, as <see cref="PeerPulse"/> counts it; zero where it is not asked for signs of life.</summary>
    public virtual TimeSpan Silence => TimeSpan.Zero;

    /// <summary>The ring to a peer that reads this rank's <see cref="PayloadBoard"/>; <see langword="null"/> where it does not.</summary>
    public virtual SegmentRing? BoardReader => null;

    /// <summary>Sends a segment; one segment can be on its way without the peer's waiting for it.</summary>
    /// <param name="header">Of the segment.</param>
    /// <param name="payload">[byte]; free for reuse on return.</param>
    /// <param name="operation">The limit.</param>
    /// <param name="place">Where the payload lies on this rank's board, if the peer is to read it there; see <see cref="BoardReader"/>.</param>
    /// <exception cref="CollectiveException">The group has failed, or fails by this.</exception>
    public abstract void Send(in SegmentHeader header, ReadOnlySpan<byte> payload, RunningOperation operation, int place);

    /// <summary>Returns the next segment of the peer, waiting for it within the operation's limit.</summary>
    /// <exception cref="CollectiveException">The group has failed, or fails by this.</exception>
    public abstract ReceivedSegment Receive(RunningOperation operation);

    /// <summary>Waits for the next segment of the peer, which is then received without waiting.</summary>
    /// <returns>Whether it came within the operation's limit and before the group failed or the peer left.</returns>
    public abstract bool WaitForArrival(RunningOperation operation);

    /// <summary>Gives the memory of the last received segment back, once for each, before the next is received.</summary>
    public abstract void Release();

    /// <summary>Ends a blocked <see cref="Receive"/>, after the group has failed.</summary>
    public abstract void Wake();

    /// <summary>Tells the peer that the group has failed; complete when the peer knows or cannot be told.</summary>
    public abstract Task TellAsync(FirstCause cause);

    /// <summary>Tells the peer that this rank leaves; complete when the peer knows or cannot be told.</summary>
    public abstract Task LeaveAsync();

    /// <summary>Ends the connection at once. A peer that has not been told loses this rank.</summary>
    public abstract void Dispose();
}
