using System.Diagnostics.CodeAnalysis;
using System.Runtime.InteropServices;
using Distributed.Collectives.Hosting.Http2;
using Distributed.Protos;

namespace Distributed.Collectives.Transports.Grpc;

/// <summary>
/// Connects two ranks by one gRPC stream. A pump reads the stream into the mailbox from the first moment to the last, so that what a peer
/// sends never waits for what this rank is writing; what the owner thread sends is put into a short queue, and that thread goes on while it is written.
/// </summary>
internal sealed class GrpcTransport : PeerTransport
{
    // For the other direction to end after one has: a reader usually knows a better reason than a failed write, the abort that the peer
    // sent before it closed.
    private static readonly TimeSpan FarewellGrace = TimeSpan.FromSeconds(1);

    private readonly PeerStream _stream;
    private readonly GroupFailure _failure;
    private readonly SegmentMailbox _inbox = new();
    private readonly SemaphoreSlim _writing = new(1, 1);
    private readonly OutgoingQueue _queue = new();
    private readonly TaskCompletionSource _left = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly bool _carriesSegments;
    private readonly Task _pump;
    private volatile bool _saidFarewell; // by either side: the end of the stream is no loss
    private bool _isOver;                 // guarded by _writing
    private volatile bool _isHolding;     // the pump waits for room in the mailbox and hears nothing
    private volatile Heartbeat? _heartbeat;
    private long _silentTicks;
    private ReadOnlyMemory<byte> _lent;   // what the owner thread has received and not released

    /// <summary>Takes over a stream whose handshake is done, and begins to read.</summary>
    /// <param name="peerRank">The rank at the other end.</param>
    /// <param name="stream">The stream.</param>
    /// <param name="isProtected">Whether TLS protects the payload; otherwise checksums do.</param>
    /// <param name="carriesSegments">Whether segments come this way; otherwise shared memory carries them.</param>
    /// <param name="failure">The rank's failure.</param>
    public GrpcTransport(int peerRank, PeerStream stream, bool isProtected, bool carriesSegments, GroupFailure failure)
        : base(peerRank)
    {
        _carriesSegments = carriesSegments;
        _stream = stream;
        _failure = failure;
        IsProtected = isProtected;
        _pump = Task.Factory.StartNew(Pump, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
    }

    /// <summary>Whether TLS connects the two; otherwise a Unix socket does.</summary>
    public bool IsProtected { get; }

    /// <inheritdoc/>
    public override string Name => IsProtected ? "gRPC over TLS" : "gRPC over Unix sockets";

    /// <summary>Complete when the peer has left in order, or this rank ends the connection.</summary>
    public Task Left => _left.Task;

    /// <summary>Complete when both directions have ended; never faults.</summary>
    public Task Ended => _pump;

    /// <inheritdoc/>
    public override string LastPhase => PeerPhase.Describe(_heartbeat);

    /// <summary>Sends a heartbeat, unless another frame is being sent, which says as much, or the connection is about to end.</summary>
    public void TrySendHeartbeat(Heartbeat heartbeat)
    {
        if (!_saidFarewell && _writing.Wait(0))
        {
            _ = WriteAsync(new PeerFrame { Heartbeat = heartbeat });
        }
    }

    /// <summary>Counts time in which nothing came from the peer; of one thread.</summary>
    /// <param name="step">Since the last count.</param>
    /// <returns>How long it has been silent; zero where it need not speak or could not be heard.</returns>
    public TimeSpan AddSilence(TimeSpan step)
        => _saidFarewell || _isHolding || _pump.IsCompleted
            ? TimeSpan.Zero
            : TimeSpan.FromTicks(Interlocked.Add(ref _silentTicks, step.Ticks));

    /// <inheritdoc/>
    public override TimeSpan Waited => _inbox.Waited;

    /// <inheritdoc/>
    public override TimeSpan Silence => TimeSpan.FromTicks(Interlocked.Read(ref _silentTicks));

    /// <inheritdoc/>
    public override void Send(in SegmentHeader header, ReadOnlySpan<byte> payload, RunningOperation operation, int place)
    {
        _failure.ThrowIfFailed();
        if (_inbox.IsClosed)
        {
            throw _failure.Fail(FailureKind.PeerLost, PeerRank, $"lost rank {PeerRank}, which has left the group");
        }

        WaitForRoom(operation);
        _queue.Put(header, payload, IsProtected ? 0 : Crc32C.Of(payload));
        StartDraining();
    }

    /// <inheritdoc/>
    public override ReceivedSegment Receive(RunningOperation operation)
    {
        var segment = _inbox.Take(operation, _failure, this);
        _lent = segment.Payload;
        return new ReceivedSegment(segment.Header, _lent.Span);
    }

    /// <inheritdoc/>
    public override bool WaitForArrival(RunningOperation operation) => _inbox.WaitForArrival(operation);

    /// <inheritdoc/>
    public override void Release()
    {
        if (MemoryMarshal.TryGetArray(_lent, out var bytes))
        {
            SegmentBuffers.Return(bytes);
        }

        _lent = default;
    }

    /// <inheritdoc/>
    public override void Wake() => _inbox.Close();

    /// <inheritdoc/>
    public override Task TellAsync(FirstCause cause)
    {
        var abort = new Abort { OriginRank = (uint)cause.Origin, Cause = cause.Sentence };
        if (cause.BlamedRank is { } blamed)
        {
            (abort.BlamesRank, abort.BlamedRank) = (true, (uint)blamed);
        }

        return FarewellAsync(new PeerFrame { Abort = abort }, isAfterSegments: false);
    }

    /// <inheritdoc/>
    public override Task LeaveAsync() => FarewellAsync(new PeerFrame { Leave = new Leave() }, isAfterSegments: true);

    /// <inheritdoc/>
    public override void Dispose()
    {
        _saidFarewell = true;
        _stream.Kill();
        _inbox.Close();
        _left.TrySetResult();
    }

    private async Task FarewellAsync(PeerFrame frame, bool isAfterSegments)
    {
        _saidFarewell = true;
        if (!_pump.IsCompleted)
        {
            await _writing.WaitAsync();
            if (isAfterSegments)
            {
                await WriteQueuedAsync(); // the last may have been put in when the drain had just looked
            }

            await WriteAsync(frame);
            await _pump;
        }
    }

    private void WaitForRoom(RunningOperation operation)
    {
        if (_queue.Room.Wait(0))
        {
            return;
        }

        try
        {
            if (_queue.Room.Wait(operation.Remaining, _failure.Aborted))
            {
                return;
            }
        }
        catch (OperationCanceledException)
        {
            _failure.ThrowIfFailed();
            throw;
        }

        throw _failure.Fail(FailureKind.Timeout, PeerRank, $"rank {PeerRank} did not take what was sent to it in time");
    }

    // Somebody else who writes begins to drain when he is done.
    private void StartDraining()
    {
        if (_writing.Wait(0))
        {
            _ = DrainAsync();
        }
    }

    // The caller holds the right to write; it is given back when the queue is empty.
    private async Task DrainAsync()
    {
        await WriteQueuedAsync();
        ReleaseWriting();
    }

    private async ValueTask WriteQueuedAsync()
    {
        while (_queue.First is { } frame)
        {
            await TryWriteAsync(frame);
            _queue.RemoveFirst();
        }
    }

    // The caller holds the right to write; it is given back when the stream has taken the frame.
    private async Task WriteAsync(PeerFrame frame)
    {
        await TryWriteAsync(frame);
        ReleaseWriting();
    }

    private void ReleaseWriting()
    {
        _writing.Release();
        Interlocked.MemoryBarrier(); // gives back first, and then looks: who puts a segment in does so before he asks for the right to write
        if (_queue.First is not null)
        {
            StartDraining();
        }
    }

    // After one write has failed nothing more is written: the stream is over.
    [SuppressMessage("Design", "CA1031", Justification = "Whatever ends a write, the peer is lost by it.")]
    private async ValueTask TryWriteAsync(PeerFrame frame)
    {
        try
        {
            if (!_isOver)
            {
                await _stream.Writer.WriteAsync(frame);
            }
        }
        catch (Exception exception)
        {
            _isOver = true;
            _ = ReportLossOfWriteAsync(exception);
        }
    }

    private async Task ReportLossOfWriteAsync(Exception exception)
    {
        await Task.WhenAny(_pump, Task.Delay(FarewellGrace));
        ReportLoss(exception);
    }

    // On a thread of its own, which reads the connection itself: the kernel wakes it and nobody in between.
    [SuppressMessage("Design", "CA1031", Justification = "Whatever ends the stream, the peer is lost by it.")]
    private void Pump()
    {
        try
        {
            SocketStream.ThisThreadWaits();
            var more = true;
            while (more && _stream.Reader.MoveNext(CancellationToken.None).GetAwaiter().GetResult())
            {
                Interlocked.Exchange(ref _silentTicks, 0);
                more = Accept(_stream.Reader.Current);
            }

            ReportLoss(null);
        }
        catch (Exception exception)
        {
            ReportLoss(exception);
        }

        EndWritingAsync().GetAwaiter().GetResult();
    }

    // Ends this rank's direction between two writes, never during one.
    [SuppressMessage("Design", "CA1031", Justification = "The stream is over; how its other direction ended does not matter.")]
    private async Task EndWritingAsync()
    {
        if (!await _writing.WaitAsync(FarewellGrace))
        {
            _stream.Kill();
            return;
        }

        _isOver = true;
        try
        {
            await _stream.Complete();
        }
        catch (Exception)
        {
            // It had ended before.
        }

        ReleaseWriting();
    }

    // Returns whether more may follow.
    private bool Accept(PeerFrame frame)
    {
        switch (frame.ContentCase)
        {
            case PeerFrame.ContentOneofCase.Segment when Refusal(frame.Segment) is { } refusal:
                _failure.Report(FailureKind.Protocol, PeerRank, refusal);
                return true;
            case PeerFrame.ContentOneofCase.Segment:
                var segment = frame.Segment;
                var header = new SegmentHeader(segment.Operation, segment.Tag, segment.Sequence, (long)segment.MessageByteCount, new OperationDetail(segment.Detail));
                var posted = _inbox.PostAsync(new Segment(header, segment.Payload.Memory));
                if (!posted.IsCompleted)
                {
                    _isHolding = true;
                    posted.AsTask().GetAwaiter().GetResult();
                }

                Interlocked.Exchange(ref _silentTicks, 0);
                _isHolding = false;
                return true;
            case PeerFrame.ContentOneofCase.Heartbeat when frame.Heartbeat is { Operation: > Operation.MonitoredBarrier } or { Phase: Phase.Unspecified or > Phase.AwaitingWork }:
                _failure.Report(FailureKind.Protocol, PeerRank, $"rank {PeerRank} sent a heartbeat of operation {(int)frame.Heartbeat.Operation} in phase {(int)frame.Heartbeat.Phase}, which do not exist");
                return true;
            case PeerFrame.ContentOneofCase.Heartbeat:
                _heartbeat = frame.Heartbeat;
                return true;
            case PeerFrame.ContentOneofCase.Abort:
                _saidFarewell = true;
                _failure.Tell((int)(frame.Abort.OriginRank & int.MaxValue), frame.Abort.Cause, frame.Abort.BlamesRank ? (int)(frame.Abort.BlamedRank & int.MaxValue) : null);
                return false;
            case PeerFrame.ContentOneofCase.Leave:
                _saidFarewell = true;
                _inbox.Close();
                _left.TrySetResult();
                return false;
            default:
                _failure.Report(FailureKind.Protocol, PeerRank, $"rank {PeerRank} sent a {frame.ContentCase} frame, which has no place after the handshake");
                return true;
        }
    }

    // What the sizes and the checksum say against a segment; whether it is the expected one is PeerLink's to say.
    private string? Refusal(Protos.Segment segment)
        => !_carriesSegments
            ? $"rank {PeerRank} sent a segment over the stream, and shared memory carries them"
        : segment.Operation is Operation.Unspecified or > Operation.MonitoredBarrier
            ? $"rank {PeerRank} sent operation {(int)segment.Operation}, which does not exist"
        : segment.Payload.Length > MaxSegmentByteCount || segment.MessageByteCount > long.MaxValue
            ? $"rank {PeerRank} sent a segment of {segment.Payload.Length} bytes of a message of {segment.MessageByteCount}; a segment has at most {MaxSegmentByteCount}"
        : !IsProtected && segment.Crc32C != Crc32C.Of(segment.Payload.Span)
            ? $"the checksum of segment {segment.Sequence} from rank {PeerRank} is wrong; it was damaged on its way"
        : null;

    private void ReportLoss(Exception? exception)
    {
        if (!_saidFarewell)
        {
            var reason = exception is null ? "" : $" ({exception.GetBaseException().Message.TrimEnd('.')})";
            _failure.Report(FailureKind.PeerLost, PeerRank, $"lost rank {PeerRank}, whose connection ended{reason}");
        }
    }
}
