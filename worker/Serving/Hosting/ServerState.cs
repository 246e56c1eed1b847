using System.Globalization;
using Distributed.Collectives;
using Distributed.Engine.Serving;
using Distributed.Worker.Serving.Requests;

namespace Distributed.Worker.Serving.Hosting;

/// <summary>
/// Whether the server can answer, as the routes for health tell it. Readiness is progress: a model that has work and does none is not ready, nor is one
/// of which a rank is silent.
/// </summary>
/// <param name="stallLimit">How long the model may have work without a step coming to its end, or four steps if they take longer.</param>
internal sealed class ServerState(TimeSpan stallLimit)
{
    private const int StallSteps = 4;

    // Ranks tell each other five times a second that they run: three such signs have not come, and the fourth is due.
    private static readonly TimeSpan SilenceLimit = TimeSpan.FromSeconds(0.7);

    private readonly Lock _gate = new(); // over changes of what runs
    private TaskCompletionSource _changed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private volatile InferenceScheduler? _scheduler;
    private volatile Loading _loading = new("checking its files", 0, 0);
    private volatile ProcessGroup? _group;
    private volatile bool _isDraining;
    private volatile bool _hasFailed;

    public ServerState()
        : this(TimeSpan.FromSeconds(5))
    {
    }

    /// <summary>What runs the requests; <see langword="null"/> before the model is loaded, and while it is loaded again.</summary>
    public InferenceScheduler? Scheduler => _scheduler;

    /// <summary>Ranks of the group; 0 before the model is loaded.</summary>
    public int WorldSize => _group?.WorldSize ?? 0;

    /// <summary>What connects them; empty before the model is loaded.</summary>
    public string Transport => _group?.TransportDescription ?? "";

    /// <summary>The ranks have found each other.</summary>
    public void TellGroup(ProcessGroup group) => _group = group;

    /// <summary>The model is being loaded.</summary>
    /// <param name="phase">What is being done.</param>
    /// <param name="done">Of <paramref name="total"/>, in any unit.</param>
    /// <param name="total">0 where it is not known.</param>
    public void TellLoading(string phase, long done, long total) => _loading = new Loading(phase, done, total);

    /// <summary>The model stands ready.</summary>
    public void TellReady(InferenceScheduler scheduler) => Change(() => _scheduler = scheduler);

    /// <summary>A rank was lost, and the group is being started again.</summary>
    public void TellLost() => Change(() =>
    {
        _scheduler = null;
        _loading = new("a rank was lost, and its group starts again", 0, 0);
    });

    /// <summary>The server is going down.</summary>
    public void TellDraining() => Change(() => _isDraining = true);

    /// <summary>The group has failed.</summary>
    public void TellFailed() => Change(() => _hasFailed = true);

    /// <summary>What takes the place of a scheduler that has lost its ranks, once it is there; <see langword="null"/> where nothing will.</summary>
    public async Task<InferenceScheduler?> NextSchedulerAsync(InferenceScheduler lost, CancellationToken cancellationToken)
    {
        while (true)
        {
            Task change;
            lock (_gate)
            {
                if (_hasFailed || _isDraining)
                {
                    return null;
                }

                if (_scheduler is { } next && next != lost)
                {
                    return next;
                }

                change = _changed.Task;
            }

            await change.WaitAsync(cancellationToken);
        }
    }

    /// <summary>Why no request is taken now, as the answer to one; <see langword="null"/> where they are.</summary>
    public ApiException? Refusal()
        => _hasFailed ? ApiException.Unavailable("A rank of the model failed; the server is ending.", "failed")
            : _isDraining ? ApiException.Unavailable("The server is ending and takes no new requests.", "draining")
            : _scheduler is null ? ApiException.Unavailable(_loading.ToString(), "loading", retryAfterSeconds: 1)
            : null;

    /// <summary>Why requests should go elsewhere: none are taken, or those that were are not got on with.</summary>
    public ApiException? Unreadiness()
    {
        var scheduler = _scheduler; // before it is asked whether there is one: a rank may be lost, or come back, in between
        if (Refusal() is { } refusal)
        {
            return refusal;
        }

        if (_group?.LongestSilence is var (rank, silence) && silence > SilenceLimit)
        {
            return ApiException.Unavailable(
                string.Create(CultureInfo.InvariantCulture, $"Rank {rank} of the model has said nothing for {silence.TotalSeconds:0.0} s."), "stalled");
        }

        if (scheduler?.Snapshot() is not { } snapshot)
        {
            return null;
        }

        var steps = snapshot.Steps == 0 ? TimeSpan.Zero : snapshot.StepTime / snapshot.Steps * StallSteps;
        return snapshot.TimeWithoutProgress <= (stallLimit > steps ? stallLimit : steps) ? null : ApiException.Unavailable(
            string.Create(CultureInfo.InvariantCulture, $"The model has had work for {snapshot.TimeWithoutProgress.TotalSeconds:0.0} s and made no progress."), "stalled");
    }

    private void Change(Action change)
    {
        TaskCompletionSource changed;
        lock (_gate)
        {
            change();
            changed = _changed;
            _changed = new(TaskCreationOptions.RunContinuationsAsynchronously);
        }

        changed.SetResult();
    }

    private sealed record Loading(string Phase, long Done, long Total)
    {
        public override string ToString()
            => Total <= 0 ? $"Loading the model: {Phase}." : string.Create(CultureInfo.InvariantCulture, $"Loading the model: {Phase}, {100 * Done / Total} %.");
    }
}
