using System.Net;
using System.Net.Sockets;
using System.Text;
using Distributed.Worker.Serving.Hosting;

namespace Distributed.Worker.Tests.Serving;

/// <summary>What is measured reaches a collector.</summary>
public class OtlpExportTests
{
    [Theory]
    [InlineData("")]
    [InlineData("/")]
    [InlineData("/base")]
    public async Task Dispose_AfterARequest_HasSentWhatWasMeasured(string path)
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        var received = ReceiveAsync(listener, path);
        using (OtlpExport.Start(new Uri($"http://{listener.LocalEndpoint}{path}"), rank: 3))
        {
            await using var server = await TestServer.StartAsync(); // whose end waits for that of its requests, which their clients do not
            await server.PostAsync("/v1/completions", """{"prompt":"Once upon a time","max_tokens":2}""");
        }

        var requests = await received.DefaultTimeout();
        var metrics = requests[^1];
        Assert.Contains("gen_ai.server.time_to_first_token", metrics, StringComparison.Ordinal);
        Assert.NotEmpty(requests[..^1]);
        Assert.All(requests[..^1], request => Assert.StartsWith($"POST {path.TrimEnd('/')}/v1/traces HTTP/1.1\r\n", request, StringComparison.Ordinal));
        Assert.Contains(requests[..^1], request => request.Contains("text_completion demo", StringComparison.Ordinal));
        Assert.Contains(requests[..^1], request => request.Contains("POST /v1/completions", StringComparison.Ordinal));
        Assert.All(requests, request =>
        {
            Assert.Contains("Content-Type: application/x-protobuf", request, StringComparison.Ordinal);
            Assert.Contains("distributed-worker", request, StringComparison.Ordinal);
            Assert.Contains("/3", request, StringComparison.Ordinal);
        });
    }

    // Traces, at the end or every few seconds, then the metrics.
    private static async Task<string[]> ReceiveAsync(TcpListener listener, string path)
    {
        var requests = new List<string>();
        do
        {
            requests.Add(await ReceiveOneAsync(listener));
        }
        while (!requests[^1].StartsWith($"POST {path.TrimEnd('/')}/v1/metrics HTTP/1.1\r\n", StringComparison.Ordinal));
        return [.. requests];
    }

    private static async Task<string> ReceiveOneAsync(TcpListener listener)
    {
        using var client = await listener.AcceptTcpClientAsync();
        await using var stream = client.GetStream();
        var text = new StringBuilder();
        var buffer = new byte[64 << 10];
        while (await stream.ReadAsync(buffer) is > 0 and var count)
        {
            text.Append(Encoding.Latin1.GetString(buffer, 0, count));
            var (head, length) = (text.ToString().IndexOf("\r\n\r\n", StringComparison.Ordinal), LengthIn(text.ToString()));
            if (head >= 0 && text.Length >= head + 4 + length)
            {
                break;
            }
        }

        await stream.WriteAsync("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"u8.ToArray());
        return text.ToString();
    }

    private static int LengthIn(string request)
    {
        const string Name = "Content-Length: ";
        var start = request.IndexOf(Name, StringComparison.Ordinal);
        return start < 0 ? int.MaxValue / 2 : int.Parse(request[(start + Name.Length)..request.IndexOf('\r', start)], System.Globalization.CultureInfo.InvariantCulture);
    }
}
