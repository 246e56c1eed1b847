using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using Microsoft.AspNetCore.Routing;

namespace Distributed.Worker.Tests.Serving;

/// <summary>Who gets in: keys, hosts, kinds of content, and bytes that are no request.</summary>
public class DoorTests
{
    private static readonly string[] OpenRoutes = ["/livez", "/readyz"];

    [Fact]
    public async Task Routes_WithoutAKey_AreClosedButTwo()
    {
        await using var server = await TestServer.StartAsync("--api-key", "secret");
        var routes = server.Host.Routes.ToArray();
        Assert.Superset(
            new HashSet<string> { "/livez", "/readyz", "/health", "/metrics", "/v1/models", "/v1/chat/completions", "/v1/completions", "/tokenize", "/detokenize" },
            routes.Select(route => route.RoutePattern.RawText!).ToHashSet());
        foreach (var route in routes)
        {
            var path = route.RoutePattern.RawText!.Replace("{**id}", "demo", StringComparison.Ordinal);
            var method = new HttpMethod(route.Metadata.GetMetadata<HttpMethodMetadata>()!.HttpMethods[0]);
            var isOpen = OpenRoutes.Contains(path);
            Assert.Equal(isOpen ? HttpStatusCode.OK : HttpStatusCode.Unauthorized, await StatusAsync(server, method, path, null));
            Assert.Equal(isOpen ? HttpStatusCode.OK : HttpStatusCode.Unauthorized, await StatusAsync(server, method, path, "Bearer secre"));
            Assert.NotEqual(HttpStatusCode.Unauthorized, await StatusAsync(server, method, path, "Bearer secret"));
        }

        // Nor does the server tell without a key which routes there are.
        Assert.Equal(HttpStatusCode.Unauthorized, await StatusAsync(server, HttpMethod.Get, "/nowhere", null));
        Assert.Equal(HttpStatusCode.NotFound, await StatusAsync(server, HttpMethod.Get, "/nowhere", "Bearer secret"));
    }

    [Fact]
    public async Task Request_OfAnotherHostOrKind_IsRefused()
    {
        await using var server = await TestServer.StartAsync();
        using var rebound = new HttpRequestMessage(HttpMethod.Get, "/v1/models");
        rebound.Headers.Host = "evil.example";
        using var refused = await server.Client.SendAsync(rebound).DefaultTimeout();
        Assert.Equal(HttpStatusCode.BadRequest, refused.StatusCode);

        using var form = new StringContent("{\"prompt\":\"a\"}", Encoding.UTF8, "text/plain"); // what a page of another origin may send unasked
        using var unsupported = await server.Client.PostAsync(new Uri("/v1/completions", UriKind.Relative), form).DefaultTimeout();
        Assert.Equal(HttpStatusCode.UnsupportedMediaType, unsupported.StatusCode);

        using var preflight = new HttpRequestMessage(HttpMethod.Options, "/v1/completions");
        preflight.Headers.Add("Origin", "https://evil.example");
        preflight.Headers.Add("Access-Control-Request-Method", "POST");
        using var answer = await server.Client.SendAsync(preflight).DefaultTimeout();
        Assert.False(answer.Headers.Contains("Access-Control-Allow-Origin"));
        Assert.False(answer.IsSuccessStatusCode);
    }

    [Fact]
    public async Task Body_LargerThanTheLimit_IsRefused()
    {
        await using var server = await TestServer.StartAsync("--max-body-size", "1");
        var error = (await server.PostAsync("/v1/completions", $$"""{"prompt":"{{new string('a', 1 << 20)}}"}""", 413)).GetProperty("error");
        Assert.Equal("invalid_request_error", error.GetProperty("type").GetString());
    }

    [Fact]
    public async Task Bytes_ThatAreNoRequest_DisturbNobody()
    {
        await using var server = await TestServer.StartAsync();
        var random = new Random(3);
        string[] starts =
        [
            "GET /livez HTTP/1.1\r\nHost: localhost\r\nX: " + new string('a', 40_000) + "\r\n\r\n", // longer than the limit
            "GET /" + new string('a', 10_000) + " HTTP/1.1\r\nHost: localhost\r\n\r\n",
            "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n1;a=\nb\r\n{\r\n0\r\n\r\n",
            "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n{}",
            "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 999999999999\r\n\r\n{",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", // HTTP/2 without TLS
            "GET /livez HTTP/1.1\r\n\r\n", // no host
            .. Enumerable.Range(0, 20).Select(_ => Encoding.Latin1.GetString(Noise(random))),
        ];
        foreach (var start in starts)
        {
            var answer = await ExchangeAsync(server.Host.Address, start);
            // To HTTP/2 it answers in HTTP/2's own bytes that it wants HTTP/1.1.
            Assert.False(answer.StartsWith("HTTP/1.1 ", StringComparison.Ordinal) && !answer.StartsWith("HTTP/1.1 4", StringComparison.Ordinal), $"{start[..Math.Min(60, start.Length)]}: {answer}");
        }

        Assert.Equal(HttpStatusCode.OK, await StatusAsync(server, HttpMethod.Get, "/readyz", null));
        Assert.Equal("", server.Log);
    }

    [Fact]
    public async Task Page_ForABrowserWithoutAKey_AsksForIt()
    {
        await using var server = await TestServer.StartAsync("--api-key", "secret");
        using var response = await server.Client.GetAsync(new Uri("/", UriKind.Relative)).DefaultTimeout();
        Assert.Equal(HttpStatusCode.Unauthorized, response.StatusCode);
        Assert.Equal("Basic", response.Headers.WwwAuthenticate.Single().Scheme);
        using var api = await server.Client.GetAsync(new Uri("/v1/models", UriKind.Relative)).DefaultTimeout();
        Assert.Equal("Bearer", api.Headers.WwwAuthenticate.Single().Scheme);
    }

    [Fact]
    public async Task Certificate_OfTwoFiles_IsHttpsWithHttp2()
    {
        using var folder = new TemporaryFolder();
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        using var certificate = new CertificateRequest("CN=localhost", key, HashAlgorithmName.SHA256)
            .CreateSelfSigned(DateTimeOffset.UtcNow.AddMinutes(-5), DateTimeOffset.UtcNow.AddDays(1));
        await using var server = await TestServer.StartAsync(
            "--tls-cert", folder.Write("cert.pem", certificate.ExportCertificatePem()), "--tls-key", folder.Write("key.pem", key.ExportPkcs8PrivateKeyPem()), "--api-key", "secret");
        using var handler = new HttpClientHandler { ServerCertificateCustomValidationCallback = (_, shown, _, _) => shown!.Thumbprint == certificate.Thumbprint };
        using var client = new HttpClient(handler);
        using var request = new HttpRequestMessage(HttpMethod.Get, new Uri(server.Host.Address, "/v1/models")) { Version = HttpVersion.Version20, VersionPolicy = HttpVersionPolicy.RequestVersionExact };
        request.Headers.Authorization = new("Bearer", "secret");
        using var response = await client.SendAsync(request).DefaultTimeout();

        Assert.Equal(("https", HttpStatusCode.OK, HttpVersion.Version20), (server.Host.Address.Scheme, response.StatusCode, response.Version));
    }

    private static byte[] Noise(Random random)
    {
        var bytes = new byte[random.Next(1, 400)];
        random.NextBytes(bytes);
        return bytes;
    }

    private static async Task<HttpStatusCode> StatusAsync(TestServer server, HttpMethod method, string path, string? authorization)
    {
        using var request = new HttpRequestMessage(method, path);
        if (authorization is not null)
        {
            request.Headers.TryAddWithoutValidation("Authorization", authorization);
        }

        using var response = await server.Client.SendAsync(request).DefaultTimeout();
        return response.StatusCode;
    }

    private static async Task<string> ExchangeAsync(Uri address, string bytes)
    {
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        await socket.ConnectAsync(address.Host, address.Port).DefaultTimeout();
        await using var stream = new NetworkStream(socket);
        try
        {
            await stream.WriteAsync(Encoding.Latin1.GetBytes(bytes));
            socket.Shutdown(SocketShutdown.Send);
            using var reader = new StreamReader(stream, Encoding.Latin1);
            return await reader.ReadToEndAsync().DefaultTimeout();
        }
        catch (IOException)
        {
            return ""; // closed with bytes unread
        }
    }
}
