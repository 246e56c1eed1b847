using System.Net;
using Distributed.Engine.Generation;
using Distributed.Engine.Serving;
using Distributed.Worker.Serving.Hosting;
using Distributed.Worker.Serving.Requests;

namespace Distributed.Worker.Serving.Answers;

/// <summary>Lets requests in to the scheduler, or says why not; and says what became of those that failed.</summary>
internal sealed class AnswerService(ServedModel model, ServerState state, KeyQuota quota, TimeSpan requestTimeout, TextWriter log)
{
    /// <summary>Begins to generate; the caller disposes the run.</summary>
    /// <param name="plans">All choices of the answer.</param>
    /// <param name="client">Whose request it is.</param>
    /// <exception cref="ApiException">There is no room for it, or it cannot be run.</exception>
    public AnswerRun Begin(IReadOnlyList<ChoicePlan> plans, string client)
    {
        if (state.Refusal() is { } refusal)
        {
            throw refusal;
        }

        var scheduler = state.Scheduler ?? throw state.Refusal()!; // its ranks may just have been lost, which is a reason
        var place = quota.TryEnter(client) ?? throw ApiException.TooMany(
            $"This key has {quota.Limit} requests under way, which is its share; send this one again once one of them has ended.", RetryAfterSeconds());
        try
        {
            return AnswerRun.Submit(state, scheduler, model, plans, place, requestTimeout);
        }
        catch (QueueFullException exception)
        {
            throw ApiException.Unavailable(
                exception.Message, exception.IsDraining ? "draining" : "queue_full", (int)Math.Ceiling(exception.RetryAfter.TotalSeconds));
        }
        catch (GenerationException exception)
        {
            throw ApiException.Request(HttpStatusCode.BadRequest, exception.Message);
        }
    }

    /// <summary>What the client is told of an answer that failed.</summary>
    public ApiException Failed(Exception exception)
        => exception as ApiException ?? state.Refusal() ?? ApiException.Internal(Incident.Tell(log, exception)); // where the server ends, that is why

    // One of the key's own requests has to end first. Of all requests one ends so often:
    private int RetryAfterSeconds()
    {
        var ended = state.Scheduler?.Snapshot() is { } now ? now.StepTime / Math.Max(1, now.FinishedRequests + now.CancelledRequests) : TimeSpan.Zero;
        return Math.Clamp((int)Math.Ceiling(ended.TotalSeconds), 1, 60);
    }
}
