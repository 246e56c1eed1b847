using System.Diagnostics;

namespace Distributed.Collectives.Transports;

/// <summary>
/// The segments that have arrived from one peer and have not been asked for: filled by one reader, emptied by the owner thread.
/// It is bounded; a full mailbox holds up the reader, and by it the peer.
/// </summary>
internal sealed class SegmentMailbox
{
    // Enough for both sides of an exchange to be a whole window ahead of each other (OutgoingMessage.Window), and for the largest segments.
    private const int CapacitySegmentCount = 256;
    private const long CapacityByteCount = 8 * PeerTransport.MaxSegmentByteCount;

    // A wait spins for about 2 us, for a segment that is just being put in; then it offers its core to the threads that bring one, which
    // on a machine with as many ranks as cores have no other; then it parks.
    private const int SpinCount = 50;
    private const int YieldCount = 100;

    private readonly object _gate = new();
    private readonly Segment[] _ring = new Segment[CapacitySegmentCount];
    private int _first;
    private int _count;
    private long _byteCount;
    private bool _isParked;
    private bool _isClosed;
    private TaskCompletionSource? _room;
    private long _waitedTicks;

    /// <summary>How long the owner thread has waited for segments.</summary>
    public TimeSpan Waited => TimeSpan.FromTicks(Interlocked.Read(ref _waitedTicks));

    /// <summary>Whether no segment will come any more.</summary>
    public bool IsClosed => Volatile.Read(ref _isClosed);

    /// <summary>Puts a segment in; complete when there was room for it. Dropped once the mailbox is closed.</summary>
    public ValueTask PostAsync(Segment segment) => TryPost(segment, out var room) ? ValueTask.CompletedTask : PostLaterAsync(segment, room);

    /// <summary>Ends a wait for the next segment, now and from now on.</summary>
    public void Close()
    {
        lock (_gate)
        {
            Volatile.Write(ref _isClosed, true);
            _room?.TrySetResult();
            Monitor.PulseAll(_gate);
        }
    }

    /// <summary>Takes the oldest segment out, waiting for one within <paramref name="operation"/>'s limit.</summary>
    /// <exception cref="CollectiveException">None came: the group has failed, or fails by this.</exception>
    public Segment Take(RunningOperation operation, GroupFailure failure, PeerTransport peer)
    {
        var started = Stopwatch.GetTimestamp();
        Spin();
        var isTaken = TryTake(operation, out var segment);
        Interlocked.Add(ref _waitedTicks, Stopwatch.GetElapsedTime(started).Ticks);
        if (isTaken)
        {
            return segment;
        }

        failure.ThrowIfFailed();
        throw IsClosed
            ? failure.Fail(FailureKind.PeerLost, peer.PeerRank, $"lost rank {peer.PeerRank}, which has left the group")
            : failure.Fail(FailureKind.Timeout, peer.PeerRank, $"rank {peer.PeerRank} did not do its part in time{peer.LastPhase}");
    }

    /// <summary>Waits for a segment within <paramref name="operation"/>'s limit; whether there is one.</summary>
    public bool WaitForArrival(RunningOperation operation)
    {
        Spin();
        lock (_gate)
        {
            return TryWait(operation);
        }
    }

    private void Spin()
    {
        for (var i = 0; i < SpinCount + YieldCount && Volatile.Read(ref _count) == 0 && !IsClosed; i++)
        {
            if (i < SpinCount)
            {
                Thread.SpinWait(1);
            }
            else
            {
                Thread.Yield();
            }
        }
    }

    private bool TryTake(RunningOperation operation, out Segment segment)
    {
        lock (_gate)
        {
            if (!TryWait(operation))
            {
                segment = default;
                return false;
            }

            segment = _ring[_first];
            _ring[_first] = default;
            _first = (_first + 1) % CapacitySegmentCount;
            _count--;
            _byteCount -= segment.Payload.Length;
            _room?.TrySetResult();
            _room = null;
            return true;
        }
    }

    // Holds the gate.
    private bool TryWait(RunningOperation operation)
    {
        while (_count == 0)
        {
            var remaining = operation.Remaining;
            if (_isClosed || remaining == TimeSpan.Zero)
            {
                return false;
            }

            _isParked = true;
            Monitor.Wait(_gate, remaining);
            _isParked = false;
        }

        return true;
    }

    private bool TryPost(Segment segment, out Task room)
    {
        room = Task.CompletedTask;
        lock (_gate)
        {
            if (_isClosed)
            {
                return true;
            }

            if (_count == CapacitySegmentCount || _byteCount > CapacityByteCount - segment.Payload.Length)
            {
                _room ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
                room = _room.Task;
                return false;
            }

            _ring[(_first + _count) % CapacitySegmentCount] = segment;
            _count++;
            _byteCount += segment.Payload.Length;
            if (_isParked)
            {
                Monitor.Pulse(_gate);
            }

            return true;
        }
    }

    private async ValueTask PostLaterAsync(Segment segment, Task room)
    {
        do
        {
            await room;
        }
        while (!TryPost(segment, out room));
    }
}
