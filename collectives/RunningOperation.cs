using System.Diagnostics;
using System.Globalization;
using Distributed.Collectives.Launching;
using Distributed.Protos;

namespace Distributed.Collectives;

/// <summary>
/// The operation that the owner thread of a group is in: its identity on the wire, its deadline, and the words of an error about it.
/// One object a group, reused, so that an operation allocates nothing.
/// </summary>
/// <remarks>The owner thread begins and ends operations; any thread may ask for <see cref="Describe"/>.</remarks>
/// <param name="rank">This rank.</param>
/// <param name="log">What remembers the operations.</param>
/// <param name="progress">Where each operation is published; taken over; <see langword="null"/> for nowhere.</param>
internal sealed class RunningOperation(int rank, OperationLog? log = null, ProgressPageWriter? progress = null) : IDisposable
{
    private readonly Lock _gate = new();
    private readonly OperationLog _log = log ?? new OperationLog();
    private ProgressPageWriter? _progress = progress;
    private string? _name;
    private long _started;
    private long _ended;
    private ulong _count;
    private long _byteCount;
    private CollectiveOptions _options;
    private bool _isDisposed;
    private TimeSpan _limit;

    /// <summary>This rank.</summary>
    public int Rank => rank;

    /// <summary>What the peers see; of the owner thread.</summary>
    public Operation Operation { get; private set; }

    /// <summary>The caller's tag; of the owner thread.</summary>
    public uint Tag { get; private set; }

    /// <summary>What else the ranks have to agree on; of the owner thread.</summary>
    public OperationDetail Detail { get; private set; }

    /// <summary>What is left of the limit, at least zero.</summary>
    public TimeSpan Remaining
    {
        get
        {
            var left = _limit - Stopwatch.GetElapsedTime(_started);
            return left > TimeSpan.Zero ? left : TimeSpan.Zero;
        }
    }

    /// <summary>Starts the clock of an operation.</summary>
    /// <param name="name">The method that the caller called.</param>
    /// <param name="operation">Its name on the wire.</param>
    /// <param name="options">The caller's tag and limit.</param>
    /// <param name="byteCount">Of the caller's arguments.</param>
    /// <param name="detail">What else the ranks have to agree on.</param>
    public void Begin(string name, Operation operation, CollectiveOptions options, long byteCount = 0, OperationDetail detail = default)
    {
        var limit = options.Timeout ?? ProcessGroup.DefaultTimeout;
        if (limit <= TimeSpan.Zero || limit.TotalMilliseconds > int.MaxValue)
        {
            throw new ArgumentOutOfRangeException(
                nameof(options), limit, "The time limit of an operation is above zero and at most 24 days; every wait ends.");
        }

        lock (_gate)
        {
            if (_name is not null)
            {
                throw new InvalidOperationException($"{name} was called while {_name} is running; one thread at a time may use a process group.");
            }

            _count++;
            _byteCount = byteCount;
            _options = options;
            (_name, Operation, Tag, Detail, _limit, _started) = (name, operation, options.Tag, detail, limit, Stopwatch.GetTimestamp());
            _progress?.Begin(operation, options, _started);
        }
    }

    /// <summary>Says where this rank publishes its operations that some are of fewer ranks.</summary>
    public void TellSubgroup()
    {
        lock (_gate)
        {
            _progress?.TellSubgroup();
        }
    }

    /// <summary>Stops the clock.</summary>
    /// <returns>Since <see cref="Begin"/>.</returns>
    public TimeSpan End()
    {
        lock (_gate)
        {
            _ended = Stopwatch.GetTimestamp();
            _log.Add(_name!, Operation, Tag, _byteCount, _started, _ended); // it was begun
            _name = null;
            _progress?.End();
            return Stopwatch.GetElapsedTime(_started, _ended);
        }
    }

    /// <summary>What the operations so far have cost; of any thread.</summary>
    public IReadOnlyList<OperationStatistics> Totals()
    {
        lock (_gate)
        {
            return _log.Totals;
        }
    }

    /// <summary>
    /// Says that the rank has left, and writes the trace, if there is to be one. A trace that cannot be written is no failure of the group.
    /// </summary>
    public void Dispose()
    {
        lock (_gate)
        {
            if (_isDisposed)
            {
                return;
            }

            _isDisposed = true;
            _progress?.Dispose();
            _progress = null;
            using (_log)
            {
                try
                {
                    _log.Write(rank);
                }
                catch (IOException)
                {
                    // The disk is full; the file says so by its end.
                }
            }
        }
    }

    /// <summary>Where this rank is, for its peers; of any thread.</summary>
    public Heartbeat ToHeartbeat()
    {
        lock (_gate)
        {
            var elapsed = _count == 0 ? TimeSpan.Zero : Stopwatch.GetElapsedTime(_name is null ? _ended : _started);
            var heartbeat = new Heartbeat
            {
                Operation = Operation,
                Tag = Tag,
                OperationCount = _count,
                Phase = _name is null ? Protos.Phase.BetweenOperations : _options.AwaitsWork ? Protos.Phase.AwaitingWork : Protos.Phase.InOperation,
                ElapsedMilliseconds = (uint)Math.Min(uint.MaxValue, elapsed.TotalMilliseconds),
            };
            if (_options.Step is { } step)
            {
                heartbeat.Step = step;
            }

            if (_options.Layer is { } layer)
            {
                heartbeat.Layer = layer;
            }

            return heartbeat;
        }
    }

    /// <summary>One sentence that says where <paramref name="what"/> happened: operation, tag, this rank, elapsed time and limit.</summary>
    public string Describe(string what)
    {
        lock (_gate)
        {
            return _name is null
                ? $"Rank {rank}, between operations: {what}."
                : string.Create(
                    CultureInfo.InvariantCulture,
                    $"{_name} (tag {Tag}) on rank {rank}: {what} ({Stopwatch.GetElapsedTime(_started).TotalSeconds:0.000} s of at most {_limit.TotalSeconds:0.###} s).");
        }
    }
}
