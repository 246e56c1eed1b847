using System.Globalization;
using System.Net;
using Distributed.Protos;
using Distributed.Worker.Serving.Answers;
using Distributed.Worker.Serving.Requests;
using Distributed.Worker.Serving.Responses;
using Distributed.Worker.Serving.Routes;
using Distributed.Worker.Serving.Text;
using Google.Protobuf;
using Grpc.Core;

namespace Distributed.Worker.Serving.Grpc;

/// <summary>The answers of the HTTP routes over gRPC.</summary>
/// <param name="model">What is served.</param>
/// <param name="answers">Lets requests in.</param>
internal sealed class InferenceService(ServedModel model, AnswerService answers) : Inference.InferenceBase
{
    private readonly AnswerPlanner _planner = new(model);

    public override Task Complete(CompleteRequest request, IServerStreamWriter<AnswerPart> responseStream, ServerCallContext context)
        => AnswerAsync(
            () => InferenceJson.Of(request),
            fields => _planner.Plan(CompletionRequest.Read(fields, model.Defaults.MaxTokens), Client.Of(context.GetHttpContext())),
            responseStream,
            context);

    public override Task Chat(Protos.ChatRequest request, IServerStreamWriter<AnswerPart> responseStream, ServerCallContext context)
        => AnswerAsync(
            () => InferenceJson.Of(request),
            fields => _planner.Plan(Requests.ChatRequest.Read(fields), Client.Of(context.GetHttpContext())),
            responseStream,
            context);

    private async Task AnswerAsync(
        Func<RequestBody> read, Func<RequestFields, IReadOnlyList<ChoicePlan>> plan, IServerStreamWriter<AnswerPart> stream, ServerCallContext context)
    {
        try
        {
            using var body = read();
            using var run = answers.Begin(plan(body.Fields), Client.Of(context.GetHttpContext()));
            await foreach (var news in run.ReadAllAsync(Timeout.InfiniteTimeSpan, context.CancellationToken))
            {
                await stream.WriteAsync(Part(news!.Value), context.CancellationToken); // without a limit there is no silence
            }

            var usage = run.Usage;
            await stream.WriteAsync(
                new AnswerPart
                {
                    Usage = new AnswerUsage { PromptTokens = usage.PromptTokens, CachedTokens = usage.CachedTokens, CompletionTokens = usage.CompletionTokens },
                },
                context.CancellationToken);
        }
        catch (ApiException exception)
        {
            throw Refusal(exception);
        }
        catch (Exception exception) when (!context.CancellationToken.IsCancellationRequested)
        {
            throw Refusal(answers.Failed(exception));
        }
    }

    private AnswerPart Part(ChoiceNews news)
    {
        var part = new AnswerPart
        {
            Choice = news.Index,
            Text = news.Piece.Text,
            FinishReason = news.FinishReason switch
            {
                null => FinishReason.NotFinished,
                Engine.Generation.FinishReason.Stop => FinishReason.Stop,
                _ => FinishReason.Length,
            },
        };
        foreach (var token in news.Piece.Tokens)
        {
            part.Tokens.Add(Token(token));
        }

        return part;
    }

    private AnswerToken Token(TextToken token)
    {
        var told = new AnswerToken { Id = token.News.TokenId, Utf8 = Utf8Of(token.News.TokenId), TextOffset = token.Offset, IsPrompt = token.News.IsPrompt };
        if (token.News.LogProbability is { } logprob)
        {
            told.Logprob = logprob;
        }

        foreach (var alternative in token.News.Alternatives)
        {
            told.Alternatives.Add(new Alternative { Id = alternative.TokenId, Utf8 = Utf8Of(alternative.TokenId), Logprob = alternative.LogProbability });
        }

        return told;
    }

    // A model may have more ids than its tokenizer.
    private ByteString Utf8Of(int tokenId) => tokenId < model.Tokenizer.VocabularySize ? ByteString.CopyFrom(model.Tokenizer.Utf8Of(tokenId)) : ByteString.Empty;

    private static RpcException Refusal(ApiException error)
    {
        var trailers = new Metadata();
        if (error.Param is { } param)
        {
            trailers.Add("param", param);
        }

        if (error.RetryAfterSeconds is { } seconds)
        {
            trailers.Add("retry-after", seconds.ToString(CultureInfo.InvariantCulture));
        }

        var code = error.Status switch
        {
            HttpStatusCode.BadRequest => StatusCode.InvalidArgument,
            HttpStatusCode.NotFound => StatusCode.NotFound,
            HttpStatusCode.TooManyRequests => StatusCode.ResourceExhausted,
            HttpStatusCode.ServiceUnavailable => StatusCode.Unavailable,
            HttpStatusCode.GatewayTimeout => StatusCode.DeadlineExceeded,
            _ => StatusCode.Internal,
        };
        return new RpcException(new Status(code, error.Message), trailers);
    }
}
