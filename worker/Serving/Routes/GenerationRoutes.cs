using System.Globalization;
using Distributed.Engine.Serving;
using Distributed.Worker.Serving.Answers;
using Distributed.Worker.Serving.Requests;
using Distributed.Worker.Serving.Responses;
using Microsoft.AspNetCore.Http;

namespace Distributed.Worker.Serving.Routes;

/// <summary><c>/v1/chat/completions</c> and <c>/v1/completions</c>.</summary>
internal sealed class GenerationRoutes(ServedModel model, AnswerService answers, TimeSpan pingInterval)
{
    private readonly AnswerPlanner _planner = new(model);
    private readonly LogprobsJson _logprobs = new(model.Tokenizer);

    /// <summary>Answers a dialog.</summary>
    public async Task ChatAsync(HttpContext context)
    {
        using var body = await RequestBody.ReadAsync(context.Request);
        var request = ChatRequest.Read(body.Fields);
        var plans = _planner.Plan(request, Client.Of(context));
        var documents = new ChatDocuments(Head("chatcmpl"), request.TopLogprobs is null ? null : _logprobs);
        await AnswerAsync(context, plans, documents, request.Generation);
    }

    /// <summary>Continues texts.</summary>
    public async Task CompleteAsync(HttpContext context)
    {
        using var body = await RequestBody.ReadAsync(context.Request);
        var request = CompletionRequest.Read(body.Fields, model.Defaults.MaxTokens);
        var plans = _planner.Plan(request, Client.Of(context));
        var documents = new CompletionDocuments(Head("cmpl"), request.Logprobs is null ? null : _logprobs, request.Logprobs ?? 0);
        await AnswerAsync(context, plans, documents, request.Generation);
    }

    private async Task AnswerAsync(HttpContext context, IReadOnlyList<ChoicePlan> plans, AnswerDocuments documents, GenerationFields fields)
    {
        using var run = answers.Begin(plans, Client.Of(context));
        if (fields.Stream)
        {
            await StreamAsync(context, run, plans.Count, documents, fields);
            return;
        }

        List<Choice> choices = [.. plans.Select((_, index) => new Choice(index))];
        try
        {
            await foreach (var news in run.ReadAllAsync(Timeout.InfiniteTimeSpan, context.RequestAborted))
            {
                choices[news!.Value.Index].Add(news.Value); // without a limit there is no silence
            }
        }
        catch (InferenceFailedException exception)
        {
            throw answers.Failed(exception);
        }

        await JsonResponse.SendAsync(context.Response, json => documents.WriteAnswer(json, choices, run.Usage));
    }

    private async Task StreamAsync(
        HttpContext context, AnswerRun run, int choiceCount, AnswerDocuments documents, GenerationFields fields)
    {
        var stream = new EventStream(context.Response);
        await stream.BeginAsync();
        for (var choice = 0; documents.HasFrame && choice < choiceCount; choice++)
        {
            var index = choice;
            await stream.SendAsync(json => documents.WriteOpening(json, index, fields.IncludeUsage));
        }

        try
        {
            await foreach (var given in run.ReadAllAsync(pingInterval, context.RequestAborted))
            {
                if (given is not { } news)
                {
                    await stream.SendPingAsync();
                    continue;
                }

                if (documents.HasFrame && news is { FinishReason: not null, Piece.IsEmpty: false })
                {
                    await stream.SendAsync(json => documents.WriteNews(json, news with { FinishReason = null }, fields.IncludeUsage));
                    news = news with { Piece = Text.TextPiece.Empty };
                }

                await stream.SendAsync(json => documents.WriteNews(json, news, fields.IncludeUsage));
            }
        }
        catch (Exception exception) when (!context.RequestAborted.IsCancellationRequested)
        {
            await stream.SendErrorAsync(answers.Failed(exception)); // and no [DONE]
            return;
        }

        if (fields.IncludeUsage)
        {
            await stream.SendAsync(json => documents.WriteUsage(json, run.Usage));
        }

        await stream.SendDoneAsync();
    }

    private AnswerHead Head(string prefix) => new(
        string.Create(CultureInfo.InvariantCulture, $"{prefix}-{Guid.NewGuid():N}"),
        DateTimeOffset.UtcNow.ToUnixTimeSeconds(),
        model.Name,
        model.Fingerprint);
}
