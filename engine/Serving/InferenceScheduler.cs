using System.Collections.Immutable;
using System.Diagnostics;
using Distributed.Engine.Generation;
using Distributed.Engine.Model;

namespace Distributed.Engine.Serving;

/// <summary>
/// Many requests on one model: they join and leave between steps, prompts are read in chunks beside rows that decode, and a request's
/// answer has the same bits as if it were alone.
/// </summary>
/// <remarks>
/// <see cref="Run"/> is rank 0's model thread; all other members may be called by any thread. Whatever is accepted reaches an end: an answer, or one
/// <see cref="InferenceFailedException"/>.
/// </remarks>
public sealed class InferenceScheduler
{
    private readonly LeaderLoop _leader;
    private readonly ImmutableArray<int> _stopTokenIds;
    private readonly SchedulerOptions _options;
    private readonly SequenceStep _step;
    private readonly StepPlanner _planner;
    private readonly WakeSignal _wake = new();
    private readonly Lock _gate = new(); // over all that follows, but for what the model's thread alone writes
    private readonly Residents _residents;
    private readonly List<TaskCompletionSource<RankStatistics[]>> _statisticsWanted = [];
    private readonly SchedulerCounters _counters = new();
    private long _lastCommand = Stopwatch.GetTimestamp(); // when the followers last heard of rank 0
    private long _progress = Stopwatch.GetTimestamp(); // when a step last ended, or work came where there was none
    private TimeSpan _planningTime; // of the step at hand
    private long? _drainDeadline; // timestamp
    private bool _isRunning;
    private bool _hasEnded;

    /// <param name="model">Rank 0's part of the model.</param>
    /// <param name="leader">The loop that was made for it; from here on it is the scheduler's.</param>
    /// <param name="stopTokenIds">What ends an answer where a request names nothing.</param>
    /// <param name="options">Bounds.</param>
    public InferenceScheduler(LlamaModel model, LeaderLoop leader, ImmutableArray<int> stopTokenIds, SchedulerOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(leader);
        _options = options ?? new SchedulerOptions();
        _options.Validate();
        _leader = leader;
        _stopTokenIds = stopTokenIds.IsDefault ? [] : stopTokenIds;
        _step = new SequenceStep(leader);
        _planner = new StepPlanner(model.Options.MaxTokensPerStep, _options.MaxPrefillTokensPerStep);
        _residents = new Residents(leader.Cache, model.Options.MaxBatchSize, _counters);
        Limits = new GenerationLimits(model.Options.MaxSequenceLength, model.Options.MaxBatchSize, model.Config.VocabularySize);
    }

    /// <summary>What a request may ask for; the batch size is the number of requests that run at once.</summary>
    public GenerationLimits Limits { get; }

    /// <summary>Takes a request; it waits until a slot is free.</summary>
    /// <param name="request">What to run. An answer that reaches max_seq_len ends there.</param>
    /// <returns>The call, whose events are to be read; disposing it gives it up.</returns>
    /// <exception cref="GenerationException">The request cannot be run as it is.</exception>
    /// <exception cref="QueueFullException">Too much waits already, or the scheduler takes no more requests.</exception>
    public InferenceCall Submit(InferenceRequest request)
    {
        ArgumentNullException.ThrowIfNull(request);
        if (RequestRules.Problems(request, Limits).FirstOrDefault() is { } first)
        {
            throw new GenerationException(first);
        }

        var call = new InferenceCall(request, _options.MaxUnreadEvents, Wake);
        var stopTokenIds = request.StopTokenIds.IsDefault ? _stopTokenIds : request.StopTokenIds;
        var row = new ServingRow(call, Limits.MaxSequenceLength, stopTokenIds.AsSpan());
        if (KeyValueCache.BlocksFor(row.MaxRunCount) > _leader.Cache.TotalCount)
        {
            throw new GenerationException(
                $"The prompt of {row.PromptLength} tokens and its answer may come to {row.MaxTokenCount}, but the key-value cache has room for "
                + $"{_leader.Cache.TotalCount * KeyValueCache.BlockLength}; ask for fewer max_tokens or make the cache larger.");
        }

        lock (_gate)
        {
            Require(row);
            _counters.Accepted++;
            _counters.PromptTokens += row.PromptLength;
            row.FinishIfComplete();
            if (row.IsFinished)
            {
                _counters.NoteFinished();
                return call;
            }

            if (!_residents.HasWork)
            {
                _progress = Stopwatch.GetTimestamp();
            }

            _residents.Waiting.Enqueue(row);
        }

        Wake();
        return call;
    }

    /// <summary>
    /// Serves requests until <see cref="Drain"/> was called and none is left. Meanwhile the other ranks run <see cref="FollowerLoop"/>.
    /// </summary>
    /// <exception cref="Collectives.CollectiveException">A rank is lost; every request has failed with what continues it.</exception>
    public void Run()
    {
        lock (_gate)
        {
            if (_isRunning || _hasEnded)
            {
                throw new InvalidOperationException("A scheduler runs once.");
            }

            _isRunning = true;
        }

        try
        {
            while (Prepare())
            {
                if (_step.TokenCount > 0)
                {
                    RunStep();
                }
                else
                {
                    Idle();
                }
            }

            End("The server has shut down; send the request again.", null);
        }
        catch (Exception exception)
        {
            End("The model's ranks were lost before the answer was complete; send the request again.", exception);
            throw;
        }
    }

    /// <summary>
    /// Takes no more requests, and lets <see cref="Run"/> return once those that were taken have ended; those that are left after <paramref name="grace"/>
    /// fail. Called again, the earlier end counts.
    /// </summary>
    public void Drain(TimeSpan grace)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(grace, TimeSpan.Zero);
        var deadline = Stopwatch.GetTimestamp() + (long)(Math.Min(grace.TotalSeconds, int.MaxValue) * Stopwatch.Frequency);
        lock (_gate)
        {
            _drainDeadline = Math.Min(deadline, _drainDeadline ?? long.MaxValue);
        }

        Wake();
    }

    /// <summary>Asks every rank for its figures, between two steps.</summary>
    /// <returns>[rank]; cancelled where the scheduler does not run.</returns>
    public Task<RankStatistics[]> CollectStatisticsAsync()
    {
        var wanted = new TaskCompletionSource<RankStatistics[]>(TaskCreationOptions.RunContinuationsAsynchronously);
        lock (_gate)
        {
            if (!_isRunning)
            {
                wanted.SetCanceled();
                return wanted.Task;
            }

            _statisticsWanted.Add(wanted);
        }

        Wake();
        return wanted.Task;
    }

    /// <summary>The state now.</summary>
    public SchedulerSnapshot Snapshot()
    {
        lock (_gate)
        {
            return _counters.ToSnapshot() with
            {
                WaitingRequests = _residents.WaitingCount,
                WaitingTokens = _residents.Waiting.TokenCount,
                RunningRequests = _residents.Running.Count,
                StalledRequests = _residents.Running.Count(row => row.Call.IsWaitingForReader),
                SlotCount = Limits.MaxBatchSize,
                UsedBlocks = _leader.Cache.UsedCount,
                CachedBlocks = _leader.Cache.IdleCount,
                TotalBlocks = _leader.Cache.TotalCount,
                TimeWithoutProgress = _residents.HasWork ? Stopwatch.GetElapsedTime(_progress) : TimeSpan.Zero,
                IsRunning = _isRunning,
                IsDraining = _drainDeadline is not null || _hasEnded,
            };
        }
    }

    // Fails where there is no room for one more.
    private void Require(ServingRow row)
    {
        if (_hasEnded || _drainDeadline is not null)
        {
            _counters.Refused++;
            throw new QueueFullException("The server is shutting down; send the request elsewhere, or again later.", _residents.DrainRate.TimeFor(1), isDraining: true);
        }

        var waiting = _residents.Waiting;
        _counters.Cancelled += waiting.RemoveCancelled();
        if (_residents.Count >= _options.MaxQueuedRequests + Limits.MaxBatchSize)
        {
            _counters.Refused++;
            throw new QueueFullException(
                $"{_residents.WaitingCount} requests wait, which is all that may; send the request again later.",
                _residents.DrainRate.TimeFor(_residents.WaitingCount),
                isDraining: false);
        }

        if (waiting.Count > 0 && waiting.TokenCount + row.MaxTokenCount > _options.MaxQueuedTokens)
        {
            _counters.Refused++;
            throw new QueueFullException(
                $"Requests of {waiting.TokenCount} tokens wait and this one may come to {row.MaxTokenCount}, with {_options.MaxQueuedTokens} in all; "
                + "send it again later, or with fewer max_tokens.",
                _residents.DrainRate.TimeFor(waiting.Count),
                isDraining: false);
        }
    }

    // Between two steps: who has left leaves, who waits comes in, and the next step is planned. False where all is done.
    private bool Prepare()
    {
        AnswerStatistics();
        var started = Stopwatch.GetTimestamp();
        lock (_gate)
        {
            _residents.Sweep();
            if (_drainDeadline is { } deadline && (_residents.Count == 0 || started >= deadline))
            {
                return false;
            }

            _residents.Grow();
            _residents.Admit();
            _residents.Share();
        }

        _step.Clear();
        _planner.Plan(_residents.Running, _step);
        _planningTime = Stopwatch.GetElapsedTime(started);
        return true;
    }

    private void RunStep()
    {
        try
        {
            Execute();
        }
        catch (NonFiniteLogitsException)
        {
            RunOneByOne();
        }
    }

    // Somebody's numbers are not finite, and rows do not touch each other: alone each shows whether they are its own. What the step gave is void, and
    // it runs again in parts.
    private void RunOneByOne()
    {
        foreach (var (sequence, tokenCount) in _step.Parts.ToArray())
        {
            _step.Clear();
            _step.Add(sequence, tokenCount);
            try
            {
                Execute();
            }
            catch (NonFiniteLogitsException exception)
            {
                OnFailure(sequence, exception);
            }
        }
    }

    private void Execute()
    {
        var (started, modelTime, generated) = (Stopwatch.GetTimestamp(), _step.ModelTime, _step.AppendedCount);
        _step.Run(OnFailure);
        _lastCommand = Stopwatch.GetTimestamp();
        foreach (var (sequence, _) in _step.Parts)
        {
            if (sequence.Slot >= 0)
            {
                _leader.Cache.Keep(sequence.Slot, sequence.Tokens, ((ServingRow)sequence).Call.Request.Client);
            }
        }

        var spent = _step.ModelTime - modelTime;
        var planningTime = _planningTime;
        _planningTime = TimeSpan.Zero;
        SchedulerMetrics.StepDuration.Record(spent.TotalSeconds);
        SchedulerMetrics.StepRequests.Record(_step.Parts.Count);
        lock (_gate)
        {
            _progress = _lastCommand;
            _counters.NoteStep(
                _step.Parts,
                _step.AppendedCount - generated,
                spent,
                planningTime + Stopwatch.GetElapsedTime(started, _lastCommand) - spent);
        }
    }

    private void OnFailure(Sequence sequence, Exception exception)
    {
        var row = (ServingRow)sequence;
        row.Fail(
            exception is NonFiniteLogitsException or GenerationException
                ? exception.Message
                : $"The answer could not be continued: {exception.Message}",
            canResume: false,
            exception);
        lock (_gate)
        {
            _counters.Failed++;
            _residents.Release(row);
        }
    }

    private void Idle()
    {
        lock (_gate)
        {
            if (_residents.HasWork)
            {
                return; // the plan found that a row's reader does not read: who waits for its slot can have it
            }

            _progress = Stopwatch.GetTimestamp();
        }

        var untilKeepAlive = _options.KeepAliveInterval - Stopwatch.GetElapsedTime(_lastCommand);
        if (untilKeepAlive <= TimeSpan.Zero)
        {
            _leader.KeepAlive();
            _lastCommand = Stopwatch.GetTimestamp();
            return;
        }

        var untilDeadline = _drainDeadline is { } deadline ? Stopwatch.GetElapsedTime(Stopwatch.GetTimestamp(), deadline) : TimeSpan.MaxValue;
        _wake.Wait(untilDeadline < untilKeepAlive ? TimeSpan.FromTicks(Math.Max(0, untilDeadline.Ticks)) : untilKeepAlive);
    }

    private void AnswerStatistics()
    {
        TaskCompletionSource<RankStatistics[]>[] wanted;
        lock (_gate)
        {
            wanted = [.. _statisticsWanted];
            _statisticsWanted.Clear();
        }

        if (wanted.Length > 0)
        {
            var statistics = _leader.CollectStatistics();
            _lastCommand = Stopwatch.GetTimestamp();
            Array.ForEach(wanted, one => one.SetResult(statistics));
        }
    }

    private void End(string message, Exception? cause)
    {
        lock (_gate)
        {
            _isRunning = false;
            _hasEnded = true;
            _residents.Sweep();
            var rows = _residents.Clear();
            _counters.Failed += rows.Count;
            rows.ForEach(row => row.Fail(message, canResume: true, cause));
            _statisticsWanted.ForEach(wanted => wanted.TrySetCanceled());
            _statisticsWanted.Clear();
        }
    }

    private void Wake() => _wake.Set();
}
