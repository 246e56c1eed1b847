using System.Net;
using System.Net.Http.Headers;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Distributed.Fuzz;
using Distributed.Worker.Serving.Hosting;

namespace Distributed.Worker.Tests.Serving;

/// <summary>Clients that leave, do not read, or are too many; and the end of the server.</summary>
public class LoadTests
{
    // Long, and ended by nothing but its length: the end of text is made impossible.
    private const string Endless = """{"prompt":"Once upon a time","max_tokens":16000,"temperature":1,"seed":1,"stream":true,"logit_bias":{"2":-100}}""";

    private static readonly string[] Room = ["--max-seq-len", "16384", "--max-batch-size", "2"];

    [Fact]
    public async Task Client_ThatLeaves_FreesItsSlot()
    {
        await using var server = await TestServer.StartAsync(Room);
        for (var round = 0; round < 3; round++)
        {
            using (await BeginAsync(server))
            {
                Assert.Equal(1, server.Scheduler.Snapshot().RunningRequests);
            }

            await server.UntilAsync(now => now is { RunningRequests: 0, UsedBlocks: 0 });
        }

        var now = server.Scheduler.Snapshot();
        Assert.Equal((3, 0, 0), (now.CancelledRequests, now.FinishedRequests, now.FailedRequests));
        Assert.Equal("", server.Log);
    }

    [Fact]
    public async Task Clients_ThatLeaveAtAnyMoment_LeaveNothing()
    {
        const string Question = """{"prompt":"Q: What does an all-reduce do?\nA:","max_tokens":40,"temperature":0}""";
        await using var server = await TestServer.StartAsync([.. Room, "--max-queue", "100"]);
        var before = Text(await server.PostAsync("/v1/completions", Question));
        var random = new Random(7);
        await Task.WhenAll(Enumerable.Range(0, 60).Select(_ => LeaveAsync(server, random.Next(0, 12), random.Next(0, 2) == 0))).DefaultTimeout();

        await server.UntilAsync(now => now is { RunningRequests: 0, WaitingRequests: 0, WaitingTokens: 0, UsedBlocks: 0 });
        var now = server.Scheduler.Snapshot();
        Assert.Equal(now.AcceptedRequests, now.FinishedRequests + now.CancelledRequests);
        Assert.Equal(before, Text(await server.PostAsync("/v1/completions", Question)));
        Assert.Equal("", server.Log);
    }

    [Fact]
    public async Task Bodies_OfAnyKind_AreAnsweredOrRefusedAndHarmNothing()
    {
        string[] valid =
        [
            """{"model":"demo","prompt":["a","b"],"max_tokens":3,"echo":true,"logprobs":2,"n":2,"stop":["x"],"seed":1,"logit_bias":{"5":1.5},"frequency_penalty":1,"presence_penalty":-1,"top_p":0.5}""",
            """{"prompt":[[1,2,3],[4]],"max_tokens":2,"stream":true,"stream_options":{"include_usage":true},"temperature":0.5}""",
            """{"messages":[{"role":"user","content":"a"}],"max_tokens":3,"logprobs":true,"top_logprobs":2,"stream":true}""",
            """{"messages":[{"role":"system","content":"s"},{"role":"user","content":[{"type":"text","text":"a"}]}],"max_completion_tokens":2,"n":2}""",
        ];
        await using var server = await TestServer.StartAsync("--max-seq-len", "64", "--max-batch-size", "2");
        var random = new Random(11);
        for (var round = 0; round < 400; round++)
        {
            var body = JsonMutator.Mutate(random, JsonNode.Parse(valid[random.Next(valid.Length)])!);
            using var content = new ByteArrayContent(body);
            content.Headers.ContentType = new MediaTypeHeaderValue("application/json");
            var path = Encoding.UTF8.GetString(body).Contains("messages", StringComparison.Ordinal) ? "/v1/chat/completions" : "/v1/completions";
            using var response = await server.Client.PostAsync(new Uri(path, UriKind.Relative), content).DefaultTimeout();
            var text = await response.Content.ReadAsStringAsync().DefaultTimeout();

            Assert.True((int)response.StatusCode is 200 or (>= 400 and < 500), $"{(int)response.StatusCode} to {Encoding.UTF8.GetString(body)}: {text} {server.Log}");
            Assert.False(text.StartsWith("data:", StringComparison.Ordinal) && !text.EndsWith("data: [DONE]\n\n", StringComparison.Ordinal), text);
        }

        Assert.Equal("", server.Log);
        await server.UntilAsync(now => now is { RunningRequests: 0, WaitingRequests: 0, UsedBlocks: 0 });
    }

    [Fact]
    public async Task Client_ThatDoesNotRead_HoldsUpNobody()
    {
        await using var server = await TestServer.StartAsync(Room);
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { ReceiveBufferSize = 1 << 10 };
        await socket.ConnectAsync(server.Host.Address.Host, server.Host.Address.Port).DefaultTimeout();
        var body = Endless.Replace("\"stream\"", "\"n\":2,\"logprobs\":20,\"stream\"", StringComparison.Ordinal); // much to send
        await socket.SendAsync(Encoding.ASCII.GetBytes(
            $"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {body.Length}\r\n\r\n{body}")).DefaultTimeout();

        // On a busy machine the server may cut the connection off for its slowness before enough was generated for the rows to stall.
        await server.UntilAsync(now => now.StalledRequests > 0 || now.CancelledRequests > 0);

        var answer = await server.PostAsync("/v1/completions", """{"prompt":"Once upon a time","max_tokens":5,"temperature":0}""");
        Assert.Equal(5, answer.GetProperty("usage").GetProperty("completion_tokens").GetInt32());
        socket.Close();
        await server.UntilAsync(now => now is { RunningRequests: 0, WaitingRequests: 0 });
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Answer_ThatTakesTooLong_EndsWithAnErrorAndFreesItsSlot(bool streams)
    {
        await using var server = await TestServer.StartAsync([.. Room, "--request-timeout", "1"]);
        using var response = await SendAsync(server, streams ? Endless : Endless.Replace("true", "false", StringComparison.Ordinal));
        var text = await response.Content.ReadAsStringAsync().DefaultTimeout();

        Assert.Equal(streams ? HttpStatusCode.OK : HttpStatusCode.GatewayTimeout, response.StatusCode);
        using var document = JsonDocument.Parse(streams ? LastEvent(text)["data: ".Length..] : text);
        var error = document.RootElement.GetProperty("error");
        Assert.Equal(("timeout", "server_error"), (error.GetProperty("code").GetString(), error.GetProperty("type").GetString()));
        Assert.StartsWith("The answer was not complete after 1 s, ", error.GetProperty("message").GetString(), StringComparison.Ordinal);
        await server.UntilAsync(now => now is { RunningRequests: 0, CancelledRequests: 1 });
        Assert.Equal("", server.Log);
    }

    [Fact]
    public async Task Requests_MoreThanMayWait_AreRefusedWithATime()
    {
        await using var server = await TestServer.StartAsync(TestModel.Stands, [.. Room, "--max-queue", "1"]);
        var taken = await Task.WhenAll(Enumerable.Range(0, 3).Select(_ => SendAsync(server, Endless))).DefaultTimeout(); // for two slots, and one that waits
        using var refused = await SendAsync(server, Endless);

        Assert.All(taken, response => Assert.Equal(HttpStatusCode.OK, response.StatusCode));
        Assert.Equal(HttpStatusCode.ServiceUnavailable, refused.StatusCode);
        Assert.InRange(refused.Headers.RetryAfter!.Delta!.Value.TotalSeconds, 1, 60);
        Assert.Equal("queue_full", (await ErrorAsync(refused)).GetProperty("code").GetString());
        Array.ForEach(taken, response => response.Dispose());
    }

    [Fact]
    public async Task Requests_OfOneKeyMoreThanItsShare_AreRefusedWithATime()
    {
        await using var server = await TestServer.StartAsync(TestModel.Stands, [.. Room, "--api-key", "a", "--api-key", "b", "--max-requests-per-key", "1"]);
        using var first = await SendAsync(server, Endless, "a");
        using var second = await SendAsync(server, Endless, "a");
        using var other = await SendAsync(server, Endless, "b");

        Assert.Equal((HttpStatusCode.OK, HttpStatusCode.TooManyRequests, HttpStatusCode.OK), (first.StatusCode, second.StatusCode, other.StatusCode));
        Assert.InRange(second.Headers.RetryAfter!.Delta!.Value.TotalSeconds, 1, 60);
        Assert.Equal("rate_limit_exceeded", (await ErrorAsync(second)).GetProperty("code").GetString());
    }

    [Fact]
    public async Task Drain_UnderLoad_EndsEveryStreamWithAllOrWithAnError()
    {
        await using var server = await TestServer.StartAsync(Room);
        var bodies = new[] { 20, 30, 16000, 16000, 16000 }.Select(count => Endless.Replace("16000", $"{count}", StringComparison.Ordinal));
        var responses = await Task.WhenAll(bodies.Select(body => SendAsync(server, body))).DefaultTimeout();
        var texts = responses.Select(response => response.Content.ReadAsStringAsync()).ToArray();
        await server.UntilAsync(now => now.GeneratedTokens > 0);

        server.State.TellDraining();
        using var notReady = await server.Client.GetAsync(new Uri("/readyz", UriKind.Relative)).DefaultTimeout();
        using var refused = await SendAsync(server, Endless);
        server.Scheduler.Drain(TimeSpan.FromSeconds(0.5));
        var ended = await Task.WhenAll(texts).DefaultTimeout();

        Assert.Equal((HttpStatusCode.ServiceUnavailable, HttpStatusCode.ServiceUnavailable), (notReady.StatusCode, refused.StatusCode));
        Assert.All(ended, text => Assert.True(
            text.EndsWith("data: [DONE]\n\n", StringComparison.Ordinal) != LastEvent(text).StartsWith("data: {\"error\":", StringComparison.Ordinal), text[^Math.Min(300, text.Length)..]));
        Assert.Contains(ended, text => text.Contains("\"code\":\"draining\"", StringComparison.Ordinal));
        Array.ForEach(responses, response => response.Dispose());
    }

    [Fact]
    public async Task Ready_WhileLoading_TellsHowFarAndAnswersNothing()
    {
        await using var server = await TestServer.StartAsync(TestModel.Missing, Room);
        server.State.TellLoading("checking its files", 42, 100);
        foreach (var path in new[] { "/readyz", "/health" })
        {
            using var response = await server.Client.GetAsync(new Uri(path, UriKind.Relative)).DefaultTimeout();
            Assert.Equal(HttpStatusCode.ServiceUnavailable, response.StatusCode);
            Assert.Equal("Loading the model: checking its files, 42 %.", (await ErrorAsync(response)).GetProperty("message").GetString());
        }

        using var live = await server.Client.GetAsync(new Uri("/livez", UriKind.Relative)).DefaultTimeout();
        using var early = await SendAsync(server, Endless);
        Assert.Equal((HttpStatusCode.OK, HttpStatusCode.ServiceUnavailable), (live.StatusCode, early.StatusCode));
    }

    [Fact]
    public async Task Ready_WithWorkAndNoProgress_IsNotReadyButTakesRequests()
    {
        await using var server = await TestServer.StartAsync(TestModel.Stands, new ServerState(TimeSpan.FromMilliseconds(10)), Room);
        using var idle = await server.Client.GetAsync(new Uri("/readyz", UriKind.Relative)).DefaultTimeout();
        using var waiting = await SendAsync(server, Endless);
        await server.UntilAsync(now => now.TimeWithoutProgress > TimeSpan.FromMilliseconds(10));
        using var stalled = await server.Client.GetAsync(new Uri("/readyz", UriKind.Relative)).DefaultTimeout();
        using var another = await SendAsync(server, Endless);

        Assert.Equal((HttpStatusCode.OK, HttpStatusCode.ServiceUnavailable, HttpStatusCode.OK), (idle.StatusCode, stalled.StatusCode, another.StatusCode));
        Assert.Equal("stalled", (await ErrorAsync(stalled)).GetProperty("code").GetString());
    }

    [Fact]
    public async Task Stream_WhileARequestWaits_IsKeptAliveByComments()
    {
        await using var server = await TestServer.StartAsync(TestModel.Stands, [.. Room, "--sse-ping-interval", "1"]);
        using var waiting = await SendAsync(server, Endless);
        using var reader = new StreamReader(await waiting.Content.ReadAsStreamAsync());
        Assert.Equal(": ping", await reader.ReadLineAsync().DefaultTimeout());
    }

    [Fact]
    public async Task Metrics_AfterARequest_CountIt()
    {
        await using var server = await TestServer.StartAsync();
        await server.PostAsync("/v1/completions", """{"prompt":"Once upon a time","max_tokens":5,"temperature":0}""");
        var text = await server.Client.GetStringAsync(new Uri("/metrics", UriKind.Relative)).DefaultTimeout();

        Assert.Contains("\ndistributed_tokens_predicted_total 5\n", text, StringComparison.Ordinal);
        Assert.Contains("\ndistributed_prompt_tokens_total 5\n", text, StringComparison.Ordinal);
        Assert.Contains("# TYPE gen_ai_server_time_to_first_token_seconds histogram\n", text, StringComparison.Ordinal);
        Assert.Matches("http_server_requests_total\\{http_route=\"/v1/completions\",http_response_status_code=\"200\"\\} [1-9]", text);
        Assert.All(
            text.Split('\n', StringSplitOptions.RemoveEmptyEntries),
            line => Assert.Matches("^(# (HELP|TYPE) [a-z_]+ .+|[a-z_]+(\\{[a-z_]+=\"[^\"]*\"(,[a-z_]+=\"[^\"]*\")*\\})? [0-9.E+-]+)$", line));
    }

    private static string? Text(JsonElement answer) => answer.GetProperty("choices")[0].GetProperty("text").GetString();

    // Reads so many events and goes; or, of an answer that is not streamed, waits so many milliseconds.
    private static async Task LeaveAsync(TestServer server, int count, bool streams)
    {
        using var given = new CancellationTokenSource();
        using var request = new HttpRequestMessage(HttpMethod.Post, "/v1/completions");
        request.Content = new StringContent(streams ? Endless : Endless.Replace("true", "false", StringComparison.Ordinal), Encoding.UTF8, "application/json");
        if (!streams)
        {
            given.CancelAfter(count);
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => server.Client.SendAsync(request, given.Token));
            return;
        }

        using var response = await server.Client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead);
        using var reader = new StreamReader(await response.Content.ReadAsStreamAsync());
        for (var line = 0; line < count; line++)
        {
            await reader.ReadLineAsync().DefaultTimeout();
        }
    }

    private static string LastEvent(string text) => text.Split("\n\n", StringSplitOptions.RemoveEmptyEntries)[^1];

    private static async Task<JsonElement> ErrorAsync(HttpResponseMessage response)
    {
        using var document = JsonDocument.Parse(await response.Content.ReadAsStringAsync().DefaultTimeout());
        return document.RootElement.GetProperty("error").Clone();
    }

    /// <summary>Sends a request; returns with the head of its answer.</summary>
    private static async Task<HttpResponseMessage> SendAsync(TestServer server, string body, string? key = null)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, "/v1/completions");
        request.Content = new StringContent(body, Encoding.UTF8, "application/json");
        request.Headers.Authorization = key is null ? null : new AuthenticationHeaderValue("Bearer", key);
        return await server.Client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead).DefaultTimeout();
    }

    /// <summary>Sends an endless request; returns when it runs.</summary>
    private static async Task<HttpResponseMessage> BeginAsync(TestServer server)
    {
        var response = await SendAsync(server, Endless);
        await server.UntilAsync(now => now.RunningRequests == 1);
        return response;
    }
}
