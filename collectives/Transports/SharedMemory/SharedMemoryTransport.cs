using Distributed.Collectives.Transports.Grpc;

namespace Distributed.Collectives.Transports.SharedMemory;

/// <summary>
/// Connects two ranks of one host: segments go through shared memory, and everything else (aborts, leaving, and that the peer still
/// lives) through the stream over which they proved themselves, the <em>control</em> stream.
/// </summary>
internal sealed class SharedMemoryTransport : PeerTransport
{
    private readonly GrpcTransport _control;
    private readonly SharedMemoryRegion _region; // holds the mapping for as long as the rings are used
    private readonly SharedMemoryRegion? _board; // the peer's, likewise
    private readonly bool _isLower;
    private readonly bool _hasBoard;
    private bool? _boardIsRead;
    private readonly SegmentRing _out;
    private readonly SegmentRing _in;
    private readonly GroupFailure _failure;

    /// <param name="control">The stream between the two, which carries no segments.</param>
    /// <param name="region">The memory that both have mapped.</param>
    /// <param name="isLower">Whether this rank is the lower one of the two.</param>
    /// <param name="failure">The rank's failure.</param>
    /// <param name="hasBoard">Whether this rank has a <see cref="PayloadBoard"/> and has offered it to the peer.</param>
    /// <param name="board">The peer's, mapped, if it has one.</param>
    public SharedMemoryTransport(
        GrpcTransport control, SharedMemoryRegion region, bool isLower, GroupFailure failure, bool hasBoard = false, SharedMemoryRegion? board = null)
        : base(control.PeerRank)
    {
        _control = control;
        _region = region;
        _board = board;
        _isLower = isLower;
        _hasBoard = hasBoard;
        (_out, _in) = isLower ? region.Rings : (region.Rings.Down, region.Rings.Up);
        _in.ReadBoard(board);
        if (board is not null)
        {
            region.TellBoardIsRead(isLower);
        }

        _failure = failure;
        _ = control.Left.ContinueWith(
            static (_, transport) => ((SharedMemoryTransport)transport!).Wake(), this, CancellationToken.None, TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
    }

    /// <inheritdoc/>
    public override string Name => "shared memory";

    /// <inheritdoc/>
    public override string LastPhase => _control.LastPhase;

    /// <summary>The stream between the two.</summary>
    public GrpcTransport Control => _control;

    /// <inheritdoc/>
    public override TimeSpan Waited => _in.Waited;

    /// <inheritdoc/>
    public override TimeSpan Silence => _control.Silence;

    /// <inheritdoc/>
    public override SegmentRing? BoardReader
    {
        get
        {
            _boardIsRead ??= _hasBoard && _region.IsBoardRead(byLower: !_isLower); // once: the memory is the peer's as well
            return _boardIsRead.Value ? _out : null;
        }
    }

    /// <inheritdoc/>
    public override void Send(in SegmentHeader header, ReadOnlySpan<byte> payload, RunningOperation operation, int place)
    {
        _failure.ThrowIfFailed();

        // The peer is asked for the first payload on the board only: the messages by which ranks join go before it has told.
        var isOnBoard = place != PayloadBoard.Nowhere && BoardReader is not null;
        if (_control.Left.IsCompleted || !_out.TrySend(header, payload, operation, isOnBoard ? place : PayloadBoard.Nowhere))
        {
            throw Failed($"rank {PeerRank} did not take what was sent to it in time");
        }
    }

    /// <inheritdoc/>
    public override ReceivedSegment Receive(RunningOperation operation)
    {
        if (!_in.TryReceive(operation, out var header, out var payload))
        {
            throw Failed($"rank {PeerRank} did not do its part in time{LastPhase}");
        }

        return new ReceivedSegment(header, payload);
    }

    /// <inheritdoc/>
    public override bool WaitForArrival(RunningOperation operation) => _in.WaitForArrival(operation);

    /// <inheritdoc/>
    public override void Release()
    {
        _in.Release();
        GC.KeepAlive(_region);
        GC.KeepAlive(_board);
    }

    /// <inheritdoc/>
    public override void Wake()
    {
        _in.Close();
        _out.Close();
    }

    /// <inheritdoc/>
    public override Task TellAsync(FirstCause cause) => _control.TellAsync(cause);

    /// <inheritdoc/>
    public override Task LeaveAsync() => _control.LeaveAsync();

    /// <inheritdoc/>
    public override void Dispose()
    {
        _control.Dispose();
        Wake();
    }

    private CollectiveException Failed(string timeout)
    {
        _failure.ThrowIfFailed();
        return _control.Left.IsCompleted
            ? _failure.Fail(FailureKind.PeerLost, PeerRank, $"lost rank {PeerRank}, which has left the group")
            : _failure.Fail(FailureKind.Timeout, PeerRank, timeout);
    }
}
