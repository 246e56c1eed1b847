using System.Collections.Concurrent;
using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Text;
using System.Threading.Channels;
using Distributed.Engine.Generation;
using Distributed.Engine.Serving;
using Distributed.Worker.Serving.Hosting;
using Distributed.Worker.Serving.Requests;
using Distributed.Worker.Serving.Responses;
using Distributed.Worker.Serving.Text;

namespace Distributed.Worker.Serving.Answers;

/// <summary>
/// All choices of one answer while they are generated, beside each other. What a slow client does not take stops its own rows and nothing else; disposing gives all
/// of them up.
/// </summary>
internal sealed class AnswerRun : IDisposable
{
    private const int MaxUnreadNews = 64;

    // A request that the model worked on in two crashes is likely what it crashes of.
    private const int MaxCrashes = 2;
    private static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(1);

    private readonly ServerState _state;
    private readonly InferenceScheduler _first;
    private readonly ServedModel _model;
    private readonly IReadOnlyList<ChoicePlan> _plans;
    private readonly IDisposable _place;
    private readonly List<InferenceCall> _calls = []; // those that the choices began with, whose prompts are as they were sent
    private readonly InferenceCall[] _current; // of each choice, after a restart of the ranks another one
    private readonly Channel<ChoiceNews> _news = Channel.CreateBounded<ChoiceNews>(new BoundedChannelOptions(MaxUnreadNews) { SingleReader = true });
    private readonly CancellationTokenSource _given = new(); // up
    private readonly ConcurrentQueue<string> _finishReasons = [];
    private readonly Activity? _span;
    private readonly Timer _limit;
    private Exception? _failure;
    private long _generatedCount;

    private AnswerRun(ServerState state, InferenceScheduler scheduler, ServedModel model, IReadOnlyList<ChoicePlan> plans, IDisposable place, TimeSpan timeout)
    {
        (_state, _first, _model, _plans, _place) = (state, scheduler, model, plans, place);
        _current = new InferenceCall[plans.Count];
        _span = ServingTraces.BeginAnswer(plans[0].ContinuesPrompt ? "text_completion" : "chat", model.Name);
        _limit = new Timer(_ => Fail(ApiException.TimedOut(timeout)), null, timeout, Timeout.InfiniteTimeSpan);
    }

    /// <summary>What it has cost so far. A prompt of several choices counts once.</summary>
    public Usage Usage
    {
        get
        {
            var first = _calls.Where((_, index) => _plans[index].IsFirst).ToList();
            return new Usage(
                first.Sum(call => (long)call.PromptTokenCount), first.Sum(call => (long)call.CachedTokenCount), Interlocked.Read(ref _generatedCount));
        }
    }

    /// <summary>Hands all choices to the scheduler, or none. A choice whose ranks are lost goes on with the next ones where it was.</summary>
    /// <param name="state">Knows what takes the scheduler's place.</param>
    /// <param name="scheduler">Runs them.</param>
    /// <param name="model">What runs.</param>
    /// <param name="plans">The choices.</param>
    /// <param name="place">What the client holds meanwhile; disposed with the run, or at once where there is none.</param>
    /// <param name="timeout">How long the answer may take.</param>
    /// <exception cref="QueueFullException">There is no room for all.</exception>
    /// <exception cref="GenerationException">The model cannot run one.</exception>
    public static AnswerRun Submit(
        ServerState state, InferenceScheduler scheduler, ServedModel model, IReadOnlyList<ChoicePlan> plans, IDisposable place, TimeSpan timeout)
    {
        var run = new AnswerRun(state, scheduler, model, plans, place, timeout);
        try
        {
            foreach (var (index, plan) in plans.Index())
            {
                run._calls.Add(run._current[index] = scheduler.Submit(plan.Request));
            }

            return run;
        }
        catch (Exception exception)
        {
            run.Fail(exception);
            throw;
        }
    }

    /// <summary>The news of all choices as they come; <see langword="null"/> for each time that so long nothing came.</summary>
    /// <param name="silence">How long nothing has to come.</param>
    /// <param name="cancellationToken">Ends it.</param>
    /// <exception cref="InferenceFailedException">A choice cannot be completed.</exception>
    /// <exception cref="ApiException">The answer took too long.</exception>
    public async IAsyncEnumerable<ChoiceNews?> ReadAllAsync(TimeSpan silence, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        using var registration = cancellationToken.UnsafeRegister(static run => ((AnswerRun)run!).Dispose(), this);
        _ = CompleteAsync([.. _plans.Select((_, index) => PumpAsync(index))]);
        var reader = _news.Reader;
        while (true)
        {
            while (reader.TryRead(out var news))
            {
                yield return news;
            }

            var waiting = reader.WaitToReadAsync(cancellationToken).AsTask();
            while (!waiting.IsCompleted)
            {
                await ((Task)waiting).WaitAsync(silence, CancellationToken.None).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                if (!waiting.IsCompleted)
                {
                    yield return null;
                }
            }

            if (!await waiting)
            {
                yield break;
            }
        }
    }

    public void Dispose()
    {
        _given.Cancel(); // wakes what waits for room, and stays: a token source without a timer needs no disposal
        lock (_current)
        {
            foreach (var call in _current)
            {
                call?.Dispose(); // null where one could not be handed over
            }
        }

        _place.Dispose();
        _limit.Dispose();
        ServingTraces.EndAnswer(_span, Usage, _finishReasons, _failure);
    }

    private void Fail(Exception exception)
    {
        _failure ??= exception;
        _news.Writer.TryComplete(exception);
        Dispose();
    }

    private async Task CompleteAsync(Task[] pumps)
    {
        try
        {
            await foreach (var pump in Task.WhenEach(pumps))
            {
                await pump; // the first that fails ends all
            }

            _news.Writer.TryComplete();
        }
        catch (Exception exception)
        {
            Fail(exception);
        }
    }

    // The text of one choice: away from the reader's thread and from the model's.
    private async Task PumpAsync(int index)
    {
        await Task.Yield();
        var plan = _plans[index];
        var request = plan.Request;
        var text = new TextStream(_model.Tokenizer, plan.Stop, plan.ContinuesPrompt && plan.Echo.IsEmpty ? request.Prompt.AsSpan() : []);
        if (!plan.Echo.IsEmpty && !request.ScorePrompt)
        {
            await EchoAsync(index, plan, text);
        }

        await foreach (var news in ReadAsync(index))
        {
            if (news.FinishReason is { } reason)
            {
                var rest = text.Finish();
                await SendAsync(index, rest, text.IsStopped ? FinishReason.Stop : reason);
                return;
            }

            if (news.IsPrompt)
            {
                await SendAsync(index, text.PushPrompt(news), null);
                continue;
            }

            if (Interlocked.Increment(ref _generatedCount) == 1)
            {
                ServingTraces.NoteFirstToken(_span);
            }

            var piece = text.Push(news);
            if (text.IsStopped)
            {
                _current[index].Complete();
                await SendAsync(index, piece, FinishReason.Stop);
                return;
            }

            await SendAsync(index, piece, null);
        }
    }

    // What a choice's call tells, and the calls that take its place.
    private async IAsyncEnumerable<TokenEvent> ReadAsync(int index)
    {
        var scheduler = _first;
        var toldOfPrompt = 0; // positions: a call that takes another's place scores the prompt again
        for (var crashes = 0; ;)
        {
            InferenceFailedException? lost = null;
            await using var news = _current[index].ReadAllAsync(_given.Token).GetAsyncEnumerator();
            while (true)
            {
                try
                {
                    if (!await news.MoveNextAsync())
                    {
                        yield break;
                    }
                }
                catch (InferenceFailedException exception) when (exception.Resumption is not null)
                {
                    lost = exception;
                    break;
                }

                if (news.Current.IsPrompt)
                {
                    if (news.Current.Position < toldOfPrompt)
                    {
                        continue;
                    }

                    toldOfPrompt = news.Current.Position + 1;
                }

                yield return news.Current;
            }

            crashes += lost.WasRunning ? 1 : 0;
            var request = _plans[index].Resume(lost.Resumption!); // not null: see above
            scheduler = crashes < MaxCrashes && await ResumeAsync(index, scheduler, request) is { } next ? next : throw lost;
        }
    }

    // Hands a choice to what takes a scheduler's place; null where nothing does. It was taken once, so it waits for room however long that lasts.
    private async Task<InferenceScheduler?> ResumeAsync(int index, InferenceScheduler lost, InferenceRequest request)
    {
        while (await _state.NextSchedulerAsync(lost, _given.Token) is { } scheduler)
        {
            try
            {
                lock (_current)
                {
                    _given.Token.ThrowIfCancellationRequested();
                    _current[index] = scheduler.Submit(request);
                    return scheduler;
                }
            }
            catch (QueueFullException exception) when (exception.IsDraining)
            {
                lost = scheduler; // its ranks were lost too, or the server ends
            }
            catch (QueueFullException exception)
            {
                await Task.Delay(exception.RetryAfter < LongestPause ? exception.RetryAfter : LongestPause, _given.Token);
            }
        }

        return null;
    }

    private async Task EchoAsync(int index, ChoicePlan plan, TextStream text)
    {
        var prompt = new StringBuilder();
        foreach (var tokenId in plan.Echo)
        {
            prompt.Append(text.PushPrompt(new TokenEvent(0, tokenId, null, [], null, IsPrompt: true)).Text);
        }

        await SendAsync(index, new TextPiece(prompt.ToString(), []), null);
    }

    private ValueTask SendAsync(int index, TextPiece piece, FinishReason? reason)
    {
        if (reason is { } end)
        {
            _finishReasons.Enqueue(AnswerDocuments.NameOf(end));
        }

        var shown = _plans[index].WithTokens ? piece : piece with { Tokens = [] };
        return shown.IsEmpty && reason is null ? default : _news.Writer.WriteAsync(new ChoiceNews(index, shown, reason), _given.Token);
    }
}
