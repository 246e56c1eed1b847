using System.Diagnostics;
using System.Net;
using System.Text;
using System.Text.Json;

namespace Distributed.EndToEnd.Tests;

/// <summary>Two ranks that serve, as a user starts them.</summary>
public sealed class ServeTests : IDisposable
{
    private const string Answer = " An all-reduce adds the parts from all ranks and gives each rank the sum.";
    private const string Question = """{"prompt":"Q: What does an all-reduce do?\nA:","max_tokens":40,"temperature":0}""";

    // Text without end: its token is made impossible.
    private const string Endless = """{"prompt":"Once upon a time","max_tokens":15000,"temperature":1,"seed":1,"stream":true,"logit_bias":{"2":-100}}""";

    private static readonly string[] Two = ["--nproc-per-node", "2", "worker", "serve", "--config", Path.Combine(Repository.Root, "configs", "demo.json"), "--port", "0"];
    private static readonly string Scripts = Path.Combine(Repository.Root, "tests", "EndToEnd.Tests", "interop", "js");

    private readonly Distrun _distrun = new();
    private readonly HttpClient _client = new();
    private readonly StringBuilder _error = new();

    public void Dispose()
    {
        _client.Dispose();
        _distrun.Dispose();
    }

    [UnixFact]
    public async Task Serve_Sigterm_EndsWhatRunsThenAllRanksWithSuccess()
    {
        using var launch = await StartAsync();
        using var answer = await _client.SendAsync(Post(Question)).DefaultTimeout();
        using var document = JsonDocument.Parse(await answer.Content.ReadAsStringAsync());
        Assert.Equal(Answer, document.RootElement.GetProperty("choices")[0].GetProperty("text").GetString());

        using var stream = await _client.SendAsync(Post(Endless.Replace("15000", "180", StringComparison.Ordinal)), HttpCompletionOption.ResponseHeadersRead).DefaultTimeout();
        Assert.Equal(0, Posix.Kill(launch.Id, Posix.SigTerm));
        Assert.EndsWith("data: [DONE]\n\n", await stream.Content.ReadAsStringAsync().DefaultTimeout(), StringComparison.Ordinal);

        await launch.WaitForExitAsync().DefaultTimeout();
        Assert.Equal(143, launch.ExitCode);
        var error = await ErrorAsync(launch);
        Assert.Contains("served 2 requests", error, StringComparison.Ordinal); // rank 0 came to its end
        Assert.DoesNotContain("FAILED", error, StringComparison.Ordinal);
        await _distrun.AssertNothingIsLeft();
    }

    [UnixFact]
    public async Task Serve_SigtermWithMoreThanTheDrainAllows_EndsStreamsWithAnError()
    {
        using var launch = await StartAsync("--max-seq-len", "16384", "--drain-timeout", "1");
        using var stream = await _client.SendAsync(Post(Endless), HttpCompletionOption.ResponseHeadersRead).DefaultTimeout();
        Assert.Equal(0, Posix.Kill(launch.Id, Posix.SigTerm));
        var text = await stream.Content.ReadAsStringAsync().DefaultTimeout();

        Assert.StartsWith("data: {\"error\":", text.Split("\n\n", StringSplitOptions.RemoveEmptyEntries)[^1], StringComparison.Ordinal);
        await launch.WaitForExitAsync().DefaultTimeout();
        Assert.Equal(143, launch.ExitCode);
        await _distrun.AssertNothingIsLeft();
    }

    [LinuxTheory]
    [InlineData(0)]
    [InlineData(1)]
    public async Task Serve_RankIsKilled_EndsStreamsAndTheJobWithItsReport(int rank)
    {
        using var launch = await StartAsync("--max-seq-len", "16384");
        using var stream = await _client.SendAsync(Post(Endless), HttpCompletionOption.ResponseHeadersRead).DefaultTimeout();
        Assert.Equal(0, Posix.Kill(_distrun.RankProcess(launch, rank), Posix.SigKill));
        if (rank == 1)
        {
            var text = await stream.Content.ReadAsStringAsync().DefaultTimeout();
            Assert.StartsWith("data: {\"error\":", text.Split("\n\n", StringSplitOptions.RemoveEmptyEntries)[^1], StringComparison.Ordinal);
        }
        else
        {
            await Assert.ThrowsAnyAsync<Exception>(() => stream.Content.ReadAsStringAsync()).DefaultTimeout(); // cut, not ended
        }

        await launch.WaitForExitAsync().DefaultTimeout();
        Assert.Equal(137, launch.ExitCode);
        Assert.Contains($"rank      : {rank} (local_rank: {rank})", await ErrorAsync(launch), StringComparison.Ordinal);
        await _distrun.AssertNothingIsLeft();
    }

    [LinuxTheory]
    [InlineData("tp=2")]
    [InlineData("pp=2")]
    public async Task Serve_RankIsKilledOrStoppedAndStartedAnew_StreamsGoOnWhereTheyWere(string mesh)
    {
        using var launch = await StartAsync(["--max-restarts", "2", "--min-uptime", "0", "--restart-backoff", "0"], "--max-seq-len", "512", "--mesh", mesh);
        var request = Endless.Replace("15000", "400", StringComparison.Ordinal);
        var undisturbed = await (await _client.SendAsync(Post(request)).DefaultTimeout()).Content.ReadAsStringAsync().DefaultTimeout();
        var serving = _distrun.RankProcess(launch, 0);

        foreach (var signal in new[] { Posix.SigKill, Posix.SigStop })
        {
            var streams = new List<Task<string>>();
            for (var stream = 0; stream < 3; stream++)
            {
                var answer = await _client.SendAsync(Post(request), HttpCompletionOption.ResponseHeadersRead).DefaultTimeout();
                streams.Add(answer.Content.ReadAsStringAsync());
            }

            Assert.Equal(0, Posix.Kill(_distrun.RankProcess(launch, 1), signal));
            foreach (var text in await Task.WhenAll(streams).WaitAsync(TimeSpan.FromSeconds(60)))
            {
                Assert.Equal(TextOf(undisturbed), TextOf(text));
                Assert.EndsWith("data: [DONE]\n\n", text, StringComparison.Ordinal);
            }
        }

        Assert.Equal(serving, _distrun.RankProcess(launch, 0));
        Assert.Equal(0, Posix.Kill(launch.Id, Posix.SigTerm));
        await launch.WaitForExitAsync().DefaultTimeout();
        Assert.Contains("restart 2 of the group in 0 s (2 of 2); rank 0 goes on.", await ErrorAsync(launch), StringComparison.Ordinal);
        await _distrun.AssertNothingIsLeft();
    }

    [Fact]
    public async Task Serve_OpenAIsClientForJavaScript_PassesAllItsCases()
    {
        var missing = Requirements.MissingProgram("node")
            ?? (Directory.Exists(Path.Combine(Scripts, "node_modules")) ? null : "interop/js/node_modules is not here; run tests/install-programs.sh.");
        Assert.SkipWhen(missing is not null, missing ?? "");
        using var launch = await StartAsync("--api-key", "sk-test");
        using var script = Process.Start(new ProcessStartInfo("node", [Path.Combine(Scripts, "client.js"), _client.BaseAddress!.ToString().TrimEnd('/'), "sk-test"])
        {
            RedirectStandardOutput = true,
        })!;
        var output = await script.StandardOutput.ReadToEndAsync().DefaultTimeout();
        await script.WaitForExitAsync().DefaultTimeout();

        var outcomes = output.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.True(outcomes.Length >= 10, output);
        Assert.All(outcomes, outcome => Assert.EndsWith("\tok", outcome, StringComparison.Ordinal));
        launch.Kill();
    }

    [Theory]
    [InlineData("--host 0.0.0.0", "--host 0.0.0.0 lets other machines in, and there is no key")]
    [InlineData("--host 0.0.0.0 --api-key k", "--host 0.0.0.0 lets other machines in, and keys and texts would go through the network unencrypted")]
    [InlineData("--host 0.0.0.0 --allow-plaintext-on-network", "--host 0.0.0.0 lets other machines in, and there is no key")]
    [InlineData("--host example.com", "--host example.com is not an address of this machine")]
    [InlineData("--tls-cert a.pem", "--tls-cert and --tls-key belong together")]
    [InlineData("--tls-cert a.pem --tls-key b.pem", "cannot be used")]
    [InlineData("--api-key-file nowhere", "--api-key-file nowhere cannot be read")]
    [InlineData("--otlp-endpoint nowhere", "--otlp-endpoint nowhere is not the address of a collector")]
    [InlineData("--port 70000", "--port 70000 is not a whole number from 0 to 65535.")]
    public async Task Serve_OptionsThatAreNotSafeOrCannotBe_AreRefusedBeforeAnyRankStarts(string options, string sentence)
    {
        var launch = await _distrun.Run([.. Two, .. options.Split(' ')]);

        Assert.Equal(2, launch.ExitCode);
        Assert.Contains(sentence, launch.Error, StringComparison.Ordinal);
        Assert.DoesNotContain("Listening", launch.Error, StringComparison.Ordinal);
    }

    /// <summary>Starts two ranks, and returns once they answer.</summary>
    private Task<Process> StartAsync(params string[] options) => StartAsync([], options);

    private async Task<Process> StartAsync(string[] launcherOptions, params string[] options)
    {
        var launch = _distrun.Start([.. launcherOptions, .. Two, .. options]);
        launch.StandardInput.Close();
        while (await launch.StandardError.ReadLineAsync().DefaultTimeout() is { } line)
        {
            _error.AppendLine(line);
            if (line.Split(' ').FirstOrDefault(word => word.StartsWith("http://", StringComparison.Ordinal)) is { } address && line.Contains("Serving", StringComparison.Ordinal))
            {
                _client.BaseAddress = new Uri(address[..^"/v1".Length]);
                return launch;
            }
        }

        throw new InvalidOperationException($"It does not serve: {_error}");
    }

    private async Task<string> ErrorAsync(Process launch) => $"{_error}{await launch.StandardError.ReadToEndAsync().DefaultTimeout()}";

    private static HttpRequestMessage Post(string body) => new(HttpMethod.Post, "/v1/completions")
    {
        Content = new StringContent(body, Encoding.UTF8, "application/json"),
        Version = HttpVersion.Version11,
    };

    private static string TextOf(string stream) => string.Concat(stream.Split("\n\n", StringSplitOptions.RemoveEmptyEntries)
        .Where(line => line.StartsWith("data: {", StringComparison.Ordinal))
        .SelectMany(line =>
        {
            using var json = JsonDocument.Parse(line["data: ".Length..]);
            return json.RootElement.GetProperty("choices").EnumerateArray().Select(choice => choice.GetProperty("text").GetString()).ToArray();
        }));
}
