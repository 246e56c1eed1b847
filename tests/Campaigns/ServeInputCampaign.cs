using System.Collections.Concurrent;
using System.Globalization;
using System.Net.Http.Headers;
using System.Net.Sockets;
using System.Text;
using System.Text.Json.Nodes;
using Distributed.Fuzz;

namespace Distributed.Campaigns;

/// <summary>
/// What no client should send: bodies that were changed at random, and bytes that are hardly a request. The server answers them with 2xx and 4xx, closes connections, and
/// goes on as before.
/// </summary>
internal static class ServeInputCampaign
{
    private const int SenderCount = 8;
    private const string Question = """{"prompt":"Once upon a time","max_tokens":16,"temperature":0}""";
    private static readonly TimeSpan Patience = TimeSpan.FromMilliseconds(200); // with a connection on which the rest of a request is awaited

    private static readonly string[] Bodies =
    [
        """{"model":"demo","prompt":["a","b"],"max_tokens":3,"echo":true,"logprobs":2,"n":2,"stop":["x"],"seed":1,"logit_bias":{"5":1.5},"frequency_penalty":1,"presence_penalty":-1,"top_p":0.5}""",
        """{"prompt":[[1,2,3],[4]],"max_tokens":2,"stream":true,"stream_options":{"include_usage":true},"temperature":0.5}""",
        """{"messages":[{"role":"user","content":"a"}],"max_tokens":3,"logprobs":true,"top_logprobs":2,"stream":true}""",
        """{"messages":[{"role":"system","content":"s"},{"role":"user","content":[{"type":"text","text":"a"}]}],"max_completion_tokens":2,"n":2}""",
        """{"messages":[{"role":"user","content":"a"}],"max_tokens":4,"response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{"type":"object","properties":{"a":{"type":"integer"}}}}}}""",
    ];

    private static readonly string[] Requests =
    [
        "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 29\r\n\r\n{\"prompt\":\"a\",\"max_tokens\":1}",
        "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\n{\"pro\r\n18\r\nmpt\":\"a\",\"max_tokens\":1}\r\n0\r\n\r\n",
        "GET /v1/models HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: */*\r\nConnection: close\r\n\r\n",
        "GET /readyz HTTP/1.0\r\n\r\nGET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\u0004\0\0\0\0\0",
        "OPTIONS * HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\n\r\n",
    ];

    public static async Task<int> RunAsync(CampaignOptions options)
    {
        using var served = await ServerRun.StartAsync(options.Arguments);
        var expected = await AskAsync(served);
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{options.Campaign}: {options.Count} inputs, seed {options.Seed}: distrun {string.Join(' ', options.Arguments)}"));
        var counts = new ConcurrentDictionary<string, int>();
        var wrong = new ConcurrentQueue<string>();
        var next = -1;
        (long Memory, int Files) before = default;
        await Task.WhenAll(Enumerable.Range(0, SenderCount).Select(_ => Task.Run(async () =>
        {
            for (int number; (number = Interlocked.Increment(ref next)) < options.Count && !served.Launch.HasEnded;)
            {
                if (number == options.Count / 5)
                {
                    before = served.Held();
                }

                var random = new Random(unchecked(options.Seed + number));
                var answer = options.Campaign == CampaignOptions.ServeBodies ? await SendBodyAsync(served, random) : await SendBytesAsync(served, random);
                counts.AddOrUpdate(answer, 1, (_, count) => count + 1);
                // 100 asks for the rest, 505 is for another HTTP than the server's.
                if (answer[0] is not ('1' or '2' or '4' or 'c' or '5') || answer[0] == '5' && answer != "505")
                {
                    wrong.Enqueue($"input {number}: {answer}");
                }
            }
        })));
        if (served.Launch.HasEnded)
        {
            Console.WriteLine($"The server has ended:\n{served.Launch.ErrorSoFar}");
            return 1;
        }

        var idle = await served.UntilIdleAsync(ServerRun.Limit);
        var isWell = idle is not null && idle["token_usage"] == 0 && await AskAsync(served) == expected;
        Console.WriteLine($"answers: {string.Join(", ", counts.OrderBy(pair => pair.Key).Select(pair => $"{pair.Key} x {pair.Value}"))}; {wrong.Count} wrong; afterwards the server {(isWell ? "answers as before" : "IS NOT AS BEFORE")}");
        foreach (var line in wrong.Take(10))
        {
            Console.WriteLine(line);
        }

        return served.CompareHeld(before) && isWell && wrong.IsEmpty ? 0 : 1;
    }

    private static async Task<string> AskAsync(ServerRun served)
    {
        using var content = new StringContent(Question, Encoding.UTF8, "application/json");
        using var response = await served.Client.PostAsync(new Uri("/v1/completions", UriKind.Relative), content);
        return JsonNode.Parse(await response.Content.ReadAsStringAsync())!["choices"]!.ToJsonString();
    }

    // The status, or what is wrong with the answer.
    private static async Task<string> SendBodyAsync(ServerRun served, Random random)
    {
        var body = JsonMutator.Mutate(random, JsonNode.Parse(Bodies[random.Next(Bodies.Length)])!);
        var shown = Encoding.UTF8.GetString(body.AsSpan(0, Math.Min(body.Length, 1000)));
        using var content = new ByteArrayContent(body);
        content.Headers.ContentType = new MediaTypeHeaderValue("application/json");
        var path = Encoding.UTF8.GetString(body).Contains("messages", StringComparison.Ordinal) ? "/v1/chat/completions" : "/v1/completions";
        try
        {
            using var response = await served.Client.PostAsync(new Uri(path, UriKind.Relative), content);
            var text = await response.Content.ReadAsStringAsync();
            return text.StartsWith("data:", StringComparison.Ordinal) && !text.EndsWith("data: [DONE]\n\n", StringComparison.Ordinal)
                ? $"a stream without its end: {text}, to {shown}"
                : ((int)response.StatusCode).ToString(CultureInfo.InvariantCulture);
        }
        catch (Exception exception) when (exception is HttpRequestException or OperationCanceledException)
        {
            var now = await served.MetricsAsync(); // a request that hangs shows in the server, or does not
            return $"{exception.Message}, with {now["requests_processing"]} requests running, {now["requests_deferred"]} waiting and {now["requests_stalled"]} stalled, to {shown}";
        }
    }

    private static async Task<string> SendBytesAsync(ServerRun served, Random random)
    {
        var bytes = Encoding.Latin1.GetBytes(Requests[random.Next(Requests.Length)]);
        for (var count = random.Next(1, 4); count > 0; count--)
        {
            bytes = Values.Damage(random, bytes);
        }

        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { LingerState = new LingerOption(true, 0) };
        var received = new byte[64];
        var length = 0;
        try
        {
            await socket.ConnectAsync(served.Address.Host, served.Address.Port);
            await socket.SendAsync(bytes);
            using var patience = new CancellationTokenSource(Patience);
            length = await socket.ReceiveAsync(received, patience.Token);
        }
        catch (Exception exception) when (exception is SocketException or OperationCanceledException)
        {
            return exception is SocketException ? "closed" : "closed by us, as it waited for more";
        }

        var answer = Encoding.ASCII.GetString(received, 0, length);
        return length == 0 ? "closed" : answer.StartsWith("HTTP/1.1 ", StringComparison.Ordinal) && answer.Length > 12 ? answer[9..12] : "c, as bytes of another protocol";
    }
}
