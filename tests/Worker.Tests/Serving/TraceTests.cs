using System.Diagnostics;
using System.Net.Http.Headers;
using System.Text;
using Distributed.Worker.Serving.Hosting;

namespace Distributed.Worker.Tests.Serving;

/// <summary>What the spans of a request say.</summary>
public class TraceTests
{
    private const string TraceBeginning = "0af7651916cd43dd";

    [Fact]
    public async Task Answer_WithATraceparent_IsASpanBelowTheRequests()
    {
        var (answer, request) = await SpansAsync("/v1/chat/completions", """{"messages":[{"role":"user","content":"What does an all-reduce do?"}],"max_tokens":5,"temperature":0}""");

        Assert.Equal(("POST /v1/chat/completions", 200), (request.DisplayName, request.GetTagItem("http.response.status_code")));
        Assert.Equal("/v1/chat/completions", request.GetTagItem("http.route"));
        Assert.Equal(request.SpanId, answer!.ParentSpanId);
        Assert.Equal(("chat demo", "chat", "demo"), (answer.DisplayName, answer.GetTagItem("gen_ai.operation.name"), answer.GetTagItem("gen_ai.request.model")));
        Assert.Equal((5L, ActivityStatusCode.Unset), (answer.GetTagItem("gen_ai.usage.output_tokens"), answer.Status));
        Assert.True((long)answer.GetTagItem("gen_ai.usage.input_tokens")! > 5);
        Assert.Equal(["length"], (string[])answer.GetTagItem("gen_ai.response.finish_reasons")!);
        Assert.Equal("gen_ai.first_token", Assert.Single(answer.Events).Name);
    }

    [Fact]
    public async Task Answer_OfTwoChoices_CountsItsPromptOnce()
    {
        var (one, _) = await SpansAsync("/v1/completions", """{"prompt":"Once upon a time","max_tokens":3}""");
        var (two, _) = await SpansAsync("/v1/completions", """{"prompt":"Once upon a time","max_tokens":3,"n":2}""");

        Assert.Equal(one!.GetTagItem("gen_ai.usage.input_tokens"), two!.GetTagItem("gen_ai.usage.input_tokens"));
        Assert.Equal((3L, 6L), (one.GetTagItem("gen_ai.usage.output_tokens"), two.GetTagItem("gen_ai.usage.output_tokens")));
    }

    [Fact]
    public async Task Answer_ThatFails_SaysSo()
    {
        var (answer, request) = await SpansAsync(
            "/v1/completions", """{"prompt":"a","max_tokens":16000,"logit_bias":{"2":-100}}""", "--max-seq-len", "16384", "--request-timeout", "1");

        Assert.Equal((504, ActivityStatusCode.Error), (request.GetTagItem("http.response.status_code"), request.Status));
        Assert.Equal((ActivityStatusCode.Error, "ApiException"), (answer!.Status, answer.GetTagItem("error.type")));
    }

    [Fact]
    public async Task Request_ThatIsRefused_HasNoAnswer()
    {
        var (answer, request) = await SpansAsync("/v1/completions", """{"prompt":7}""");

        Assert.Null(answer);
        Assert.Equal((400, ActivityStatusCode.Unset), (request.GetTagItem("http.response.status_code"), request.Status));
    }

    // Of one request, among those of tests that run at the same time: by its trace.
    private static async Task<(Activity? Answer, Activity Request)> SpansAsync(string path, string body, params string[] arguments)
    {
        var trace = TraceBeginning + Guid.NewGuid().ToString("N")[..16];
        Activity? answer = null;
        var request = new TaskCompletionSource<Activity>(TaskCreationOptions.RunContinuationsAsynchronously);
        using var listener = new ActivityListener
        {
            ShouldListenTo = source => source.Name is ServingTraces.SourceName or ServingTraces.HttpSourceName,
            Sample = (ref ActivityCreationOptions<ActivityContext> options) => ActivitySamplingResult.AllDataAndRecorded,
            ActivityStopped = span =>
            {
                if (span.TraceId.ToHexString() != trace)
                {
                    return;
                }

                if (span.Source.Name == ServingTraces.SourceName)
                {
                    answer = span;
                }
                else
                {
                    request.TrySetResult(span);
                }
            },
        };
        ActivitySource.AddActivityListener(listener);
        await using var server = await TestServer.StartAsync(arguments);
        using var message = new HttpRequestMessage(HttpMethod.Post, path) { Content = new StringContent(body, Encoding.UTF8, new MediaTypeHeaderValue("application/json")) };
        message.Headers.Add("traceparent", $"00-{trace}-b7ad6b7169203331-01");
        using var response = await server.Client.SendAsync(message).DefaultTimeout();
        var span = await request.Task.DefaultTimeout();
        return (answer, span);
    }
}
