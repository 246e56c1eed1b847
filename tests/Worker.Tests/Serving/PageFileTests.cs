using System.Net;
using System.Net.Http.Headers;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;

namespace Distributed.Worker.Tests.Serving;

/// <summary>The page's files and the figures that it draws; what it does is tested in a browser.</summary>
public sealed partial class PageFileTests(TestServer server) : IClassFixture<TestServer>
{
    [Fact]
    public async Task Get_EveryFileOfThePage_IsThereWithItsTypeAndPolicy()
    {
        var pending = new Queue<string>(["/"]);
        var seen = new HashSet<string>(pending);
        while (pending.TryDequeue(out var path))
        {
            using var response = await server.Client.GetAsync(new Uri(path, UriKind.Relative)).DefaultTimeout();
            Assert.Equal(HttpStatusCode.OK, response.StatusCode);
            Assert.Equal(Path.GetExtension(path) switch { ".js" => "text/javascript", ".css" => "text/css", ".svg" => "image/svg+xml", _ => "text/html" }, response.Content.Headers.ContentType!.MediaType);
            Assert.Contains("default-src 'none'; script-src 'self'", response.Headers.GetValues("Content-Security-Policy").Single(), StringComparison.Ordinal);
            var text = await response.Content.ReadAsStringAsync();
            Assert.DoesNotContain("http:", text.Replace("http://www.w3.org/", "", StringComparison.Ordinal), StringComparison.Ordinal); // names of formats, never asked for
            Assert.DoesNotContain("https:", text, StringComparison.Ordinal);
            foreach (var name in Reference().Matches(text).Select(match => match.Groups["page"].Success ? match.Groups["page"].Value : $"/page/{match.Groups["module"].Value}").Where(seen.Add))
            {
                pending.Enqueue(name);
            }
        }

        Assert.True(seen.Count >= 10, string.Join(' ', seen));
    }

    [Fact]
    public async Task Get_WithTheTagOfBefore_IsNotSentAgain()
    {
        using var first = await server.Client.GetAsync(new Uri("/page/page.js", UriKind.Relative)).DefaultTimeout();
        using var request = new HttpRequestMessage(HttpMethod.Get, "/page/page.js");
        request.Headers.IfNoneMatch.Add(first.Headers.ETag!);
        using var second = await server.Client.SendAsync(request).DefaultTimeout();

        Assert.Equal(HttpStatusCode.NotModified, second.StatusCode);
        Assert.Empty(await second.Content.ReadAsByteArrayAsync());
    }

    [Fact]
    public async Task Get_Status_HasWhatThePageDraws()
    {
        await server.PostAsync("/v1/completions", """{"prompt":"Once upon a time","max_tokens":20,"temperature":0}""");
        var status = await server.Client.GetStringAsync(new Uri("/status", UriKind.Relative)).DefaultTimeout();

        var root = JsonDocument.Parse(status).RootElement;
        Assert.Equal("demo", root.GetProperty("model").GetString());
        Assert.False(root.GetProperty("chat").GetBoolean());
        Assert.Equal(server.Scheduler.Limits.MaxBatchSize, root.GetProperty("slots").GetInt32());
        Assert.Equal(0, root.GetProperty("running").GetInt32());
        Assert.Equal(0, root.GetProperty("waiting").GetInt32());
        Assert.InRange(root.GetProperty("blocks_used").GetInt32(), 0, root.GetProperty("blocks_total").GetInt32());
        var rank = Assert.Single(root.GetProperty("ranks").EnumerateArray());
        Assert.True(rank.GetProperty("resident_bytes").GetInt64() > 0);
        Assert.True(rank.GetProperty("step_ms").GetDouble() > 0);
        Assert.InRange(rank.GetProperty("wait_ms").GetDouble(), 0, rank.GetProperty("step_ms").GetDouble());
    }

    [Fact]
    public async Task Get_PageOfAServerWithKeys_HasTheBrowserAskForOne()
    {
        await using var closed = await TestServer.StartAsync("--api-key", "sk-test");
        using var refused = await closed.Client.GetAsync(new Uri("/", UriKind.Relative)).DefaultTimeout();
        Assert.Equal(HttpStatusCode.Unauthorized, refused.StatusCode);
        Assert.Equal("Basic", refused.Headers.WwwAuthenticate.Single().Scheme);

        using var request = new HttpRequestMessage(HttpMethod.Get, "/");
        request.Headers.Authorization = new AuthenticationHeaderValue("Basic", Convert.ToBase64String(Encoding.UTF8.GetBytes("me:sk-test")));
        using var response = await closed.Client.SendAsync(request).DefaultTimeout();
        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
    }

    // What the page's files name: "/page/page.css" in the document, './api.js' in a module.
    [GeneratedRegex("(href|src)=\"(?<page>/page/[^\"]+)\"|from '\\./(?<module>[^']+)'")]
    private static partial Regex Reference();
}
