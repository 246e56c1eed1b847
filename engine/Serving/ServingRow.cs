using System.Collections.Immutable;
using System.Diagnostics;
using Distributed.Engine.Generation;
using Distributed.Engine.Model;

namespace Distributed.Engine.Serving;

/// <summary>A request on its way through the scheduler: its tokens become events of its call. The model's thread owns it once it is submitted.</summary>
internal sealed class ServingRow : Sequence
{
    private readonly long _submitted = Stopwatch.GetTimestamp();
    private long _lastToken; // timestamp of the last generated one; 0 before the first

    /// <param name="call">Whose events are written, and whose request is run.</param>
    /// <param name="maxSequenceLength">Positions; the prompt fits them.</param>
    /// <param name="stopTokenIds">The answer ends before any of these.</param>
    public ServingRow(InferenceCall call, int maxSequenceLength, ReadOnlySpan<int> stopTokenIds)
        : base(
            call.Request.Prompt.AsSpan(),
            call.Request.Generated.AsSpan(), // default is empty
            call.Request.MaxTokens,
            maxSequenceLength,
            SamplingOf(call.Request),
            stopTokenIds,
            call.Request.ScorePrompt)
    {
        Call = call;
        MaxTokenCount = Math.Max(Count, MaxRunCount);
        if (ScoresPrompt)
        {
            call.Write(new TokenEvent(0, Tokens[0], LogProbability: null, [], FinishReason: null, IsPrompt: true));
        }
    }

    public InferenceCall Call { get; }

    /// <summary>The place in the order in which rows first came to run; of two the greater is the younger.</summary>
    public long Number { get; set; } = -1;

    /// <summary>Whether it had to give up its slot once.</summary>
    public bool WasPreempted { get; set; }

    /// <summary>Whether it waits for another row that is computing what it needs next.</summary>
    public bool IsHeld { get; set; }

    /// <summary>Tokens that it may come to have, for the bound of what waits.</summary>
    public int MaxTokenCount { get; }

    /// <summary>Tokens that it has generated.</summary>
    public int GeneratedCount => Count - PromptLength;

    /// <summary>Since it was submitted.</summary>
    public TimeSpan Age => Stopwatch.GetElapsedTime(_submitted);

    /// <summary>How a request's tokens are chosen.</summary>
    public static SamplingOptions SamplingOf(InferenceRequest request) => new()
    {
        Temperature = request.Temperature,
        TopP = request.TopP,
        Seed = request.Seed,
        Row = request.Row,
        FrequencyPenalty = request.FrequencyPenalty,
        PresencePenalty = request.PresencePenalty,
        LogitBias = request.LogitBias,
        TopLogprobs = request.TopLogprobs,
        Constraint = request.Constraint,
    };

    /// <summary>How many pending tokens can be run now, so that there is room for all that they tell.</summary>
    public int RunnableCount(int maxCount)
    {
        var count = Math.Min(PendingCount, maxCount);
        while (!IsHeld && !Call.IsWaitingForReader)
        {
            // A token tells at most one thing, and one that is not scored nothing but the last.
            var room = Call.Room;
            if (room > 0)
            {
                return ScoresPrompt ? Math.Min(count, room) : count;
            }

            Call.WaitForReader();
        }

        return 0;
    }

    /// <summary>Ends the call without its answer.</summary>
    /// <param name="message">One sentence.</param>
    /// <param name="canResume">Whether another scheduler may continue it.</param>
    /// <param name="cause">Why; <see langword="null"/> where the message says it all.</param>
    public void Fail(string message, bool canResume, Exception? cause = null)
        => Call.Fail(new InferenceFailedException(
            message, canResume ? Call.Request with { Generated = [.. Tokens[PromptLength..]] } : null, cause, wasRunning: Number >= 0));

    protected override void OnToken(int position, float logit, in LogitsResult logits)
    {
        var isPrompt = position < PromptLength;
        Call.Write(new TokenEvent(
            position, Tokens[position], LogProbability(logit, logits.LogSumExp), Alternatives(logits), FinishReason: null, isPrompt));
        if (isPrompt)
        {
            return;
        }

        var now = Stopwatch.GetTimestamp();
        if (_lastToken == 0)
        {
            SchedulerMetrics.TimeToFirstToken.Record(Stopwatch.GetElapsedTime(_submitted, now).TotalSeconds);
        }
        else
        {
            SchedulerMetrics.TimePerOutputToken.Record(Stopwatch.GetElapsedTime(_lastToken, now).TotalSeconds);
        }

        _lastToken = now;
    }

    protected override void OnFinish(FinishReason reason, int stopTokenId)
    {
        Call.End(Count, stopTokenId, reason);
        SchedulerMetrics.RequestDuration.Record(Age.TotalSeconds);
    }

    private ImmutableArray<TokenLogprob> Alternatives(in LogitsResult logits)
    {
        var count = Math.Min(Sampling.TopLogprobs, logits.Candidates.Length);
        if (count == 0)
        {
            return [];
        }

        var alternatives = ImmutableArray.CreateBuilder<TokenLogprob>(count);
        foreach (var candidate in logits.Candidates[..count])
        {
            alternatives.Add(new TokenLogprob(candidate.TokenId, LogProbability(candidate.Logit, logits.LogSumExp)));
        }

        return alternatives.MoveToImmutable();
    }
}
