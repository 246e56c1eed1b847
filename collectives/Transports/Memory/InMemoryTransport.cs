namespace Distributed.Collectives.Transports.Memory;

/// <summary>Connects two ranks that are threads of one process: what one sends is put into the other's mailbox.</summary>
internal sealed class InMemoryTransport(int peerRank, GroupFailure failure) : PeerTransport(peerRank)
{
    private readonly SegmentMailbox _inbox = new();
    private InMemoryTransport? _peer;
    private volatile bool _hasLeft;

    /// <inheritdoc/>
    public override string Name => "in-memory";

    private InMemoryTransport Peer => _peer!; // set by Connect, before either end is used

    /// <summary>Makes the two ends of a connection.</summary>
    public static (InMemoryTransport First, InMemoryTransport Second) Connect(int firstRank, GroupFailure first, int secondRank, GroupFailure second)
    {
        var one = new InMemoryTransport(secondRank, first);
        var other = new InMemoryTransport(firstRank, second);
        (one._peer, other._peer) = (other, one);
        return (one, other);
    }

    /// <inheritdoc/>
    public override TimeSpan Waited => _inbox.Waited;

    /// <inheritdoc/>
    public override void Send(in SegmentHeader header, ReadOnlySpan<byte> payload, RunningOperation operation, int place)
    {
        failure.ThrowIfFailed();
        if (Peer._hasLeft)
        {
            throw failure.Fail(FailureKind.PeerLost, PeerRank, $"lost rank {PeerRank}, which has left the group");
        }

        var posted = Peer._inbox.PostAsync(new Segment(header, payload.ToArray()));
        if (!posted.IsCompleted && !WaitForRoom(posted.AsTask(), operation.Remaining))
        {
            throw failure.Fail(FailureKind.Timeout, PeerRank, $"rank {PeerRank} did not take what was sent to it");
        }
    }

    /// <inheritdoc/>
    public override ReceivedSegment Receive(RunningOperation operation)
    {
        var segment = _inbox.Take(operation, failure, this);
        return new ReceivedSegment(segment.Header, segment.Payload.Span);
    }

    /// <inheritdoc/>
    public override bool WaitForArrival(RunningOperation operation) => _inbox.WaitForArrival(operation);

    /// <inheritdoc/>
    public override void Release()
    {
        // The collector takes it back.
    }

    /// <inheritdoc/>
    public override void Wake() => _inbox.Close();

    /// <inheritdoc/>
    public override Task TellAsync(FirstCause cause)
    {
        Peer.Told(cause);
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public override Task LeaveAsync()
    {
        _hasLeft = true;
        Peer._inbox.Close();
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public override void Dispose()
    {
        if (!_hasLeft)
        {
            _hasLeft = true;
            Peer.Lost();
        }
    }

    private bool WaitForRoom(Task room, TimeSpan limit)
    {
        try
        {
            return room.Wait(limit, failure.Aborted);
        }
        catch (OperationCanceledException)
        {
            failure.ThrowIfFailed();
            throw;
        }
    }

    private void Told(FirstCause cause)
    {
        if (!_hasLeft)
        {
            failure.Tell(cause.Origin, cause.Sentence, cause.BlamedRank);
        }
    }

    private void Lost()
    {
        if (!_hasLeft)
        {
            failure.Report(FailureKind.PeerLost, PeerRank, $"lost rank {PeerRank}, whose connection ended");
        }
    }
}
