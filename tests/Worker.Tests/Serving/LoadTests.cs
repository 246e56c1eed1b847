using System.Net;
using System.Net.Http.Headers;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
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
    public async Task Client_ThatDoesNotRead_HoldsUpNobody()
    {
        await using var server = await TestServer.StartAsync(Room);
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { ReceiveBufferSize = 1 << 10 };
        await socket.ConnectAsync(server.Host.Address.Host, server.Host.Address.Port).DefaultTimeout();
        var body = Endless.Replace("\"stream\"", "\"n\":2,\"logprobs\":20,\"stream\"", StringComparison.Ordinal); // much to send
        await socket.SendAsync(Encoding.ASCII.GetBytes(
            $"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {body.Length}\r\n\r\n{body}")).DefaultTimeout();
        await server.UntilAsync(now => now.StalledRequests > 0);

        var answer = await server.PostAsync("/v1/completions", """{"prompt":"Once upon a time","max_tokens":5,"temperature":0}""");
        Assert.Equal(5, answer.GetProperty("usage").GetProperty("completion_tokens").GetInt32());
        socket.Close();
        await server.UntilAsync(now => now is { RunningRequests: 0, WaitingRequests: 0 });
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
