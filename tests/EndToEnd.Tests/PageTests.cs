using System.Diagnostics;

namespace Distributed.EndToEnd.Tests;

/// <summary>The page at / of two ranks that serve, in a real browser.</summary>
public sealed class PageTests : IDisposable
{
    private const string Serving = "Serving demo at ";
    private static readonly string Scripts = Path.Combine(Repository.Root, "tests", "EndToEnd.Tests", "interop", "js");

    private readonly Distrun _distrun = new();

    public void Dispose() => _distrun.Dispose();

    [Fact]
    public async Task Page_InChromium_PassesAllItsCases()
    {
        var browser = Browser();
        Assert.SkipWhen(browser is null, "Chromium is not on the PATH.");
        Assert.SkipWhen(Requirements.MissingProgram("node") is not null, "Node.js is not on the PATH.");
        Assert.SkipWhen(!Directory.Exists(Path.Combine(Scripts, "node_modules", "playwright-core")), "interop/js/node_modules is not here; run tests/install-programs.sh.");
        using var launch = _distrun.Start(
            "--nproc-per-node", "2", "worker", "serve", "--config", Path.Combine(Repository.Root, "configs", "demo.json"), "--port", "0",
            "--max-seq-len", "4096", "--stop-token-ids", "0"); // which the model never says, so texts have no end but max_tokens
        var url = await AddressAsync(launch).DefaultTimeout();
        using var script = Process.Start(new ProcessStartInfo("node", [Path.Combine(Scripts, "page.js"), url])
        {
            RedirectStandardOutput = true,
            Environment = { ["CHROMIUM"] = browser },
        })!; // a new process
        var output = await script.StandardOutput.ReadToEndAsync().WaitAsync(TimeSpan.FromMinutes(5));
        await script.WaitForExitAsync().DefaultTimeout();
        launch.Kill();

        var outcomes = output.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.True(outcomes.Length >= 11, output);
        Assert.All(outcomes, outcome => Assert.EndsWith("\tok", outcome, StringComparison.Ordinal));
    }

    private static string? Browser()
        => (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator)
            .SelectMany(folder => new[] { "chromium", "chromium-browser", "google-chrome", "chrome.exe" }.Select(name => Path.Combine(folder, name)))
            .FirstOrDefault(File.Exists);

    private static async Task<string> AddressAsync(Process launch)
    {
        while (await launch.StandardError.ReadLineAsync() is { } line)
        {
            if (line.IndexOf(Serving, StringComparison.Ordinal) is >= 0 and var start)
            {
                _ = launch.StandardError.ReadToEndAsync(); // so that it can go on writing
                return line[(start + Serving.Length)..].Split(' ')[0].Replace("/v1", "/", StringComparison.Ordinal);
            }
        }

        throw new InvalidOperationException("The server ended before it served.");
    }
}
