using System.Diagnostics;
using System.Text;

namespace Distributed.EndToEnd.Tests;

/// <summary>The first thing that a reader of the README does.</summary>
public sealed class MainJobTests : IDisposable
{
    private const string Separator = "\n\n==================================\n\n";

    private static readonly string Config = Path.Combine(Repository.Root, "configs", "demo.json");

    private readonly Distrun _distrun = new();

    public void Dispose() => _distrun.Dispose();

    [Fact]
    public async Task Complete_DemoConfig_StreamsItsTextsAndClosesWithFigures()
    {
        using var launch = _distrun.Start("--nproc-per-node", "2", "worker", "complete", "--config", Config);
        launch.StandardInput.Close();
        var error = launch.StandardError.ReadToEndAsync();
        var pieces = await Pieces(launch).DefaultTimeout();
        await launch.WaitForExitAsync().DefaultTimeout();
        var output = string.Concat(pieces);

        Assert.True(launch.ExitCode == 0, await error);
        RequireDemoTexts(output.Split(Separator));
        Assert.True(pieces.Count > 1, $"{output.Length} characters came in {pieces.Count} pieces.");
        Assert.Matches("(?m)^.rank0.: transport: .+, 2 ranks on this host; torch would need NCCL here$", await error);
        Assert.Matches(
            @"(?m)^.rank0.: 2 ranks x \d+ threads? \| loaded in [\d.]+ s \| prefill [\d.]+ tokens/s \| decode [\d.]+ tokens/s \| memory \d+ \+ \d+ MiB$",
            await error);
        Assert.DoesNotContain("[rank1]", await error, StringComparison.Ordinal);

        // Again, from another folder: the paths in a config are relative to it.
        var again = await _distrun.Run(
            "--nproc-per-node", "2", "worker", "complete", "--config", Path.GetRelativePath(_distrun.Files.Path, Config));
        Assert.Equal((0, output), (again.ExitCode, again.Output));
    }

    [Theory]
    [InlineData("int8")]
    [InlineData("int4")]
    public async Task Complete_QuantizedWeights_AnswersTheSameOnAnyNumberOfRanks(string type)
    {
        string[] options = ["worker", "complete", "--config", Config, "--dtype", type, "--format", "json", "--logprobs", "--prompt", "Q: What does an all-reduce do?\nA:"];
        var alone = await _distrun.Run(["--nproc-per-node", "1", .. options]);
        var two = await _distrun.Run(["--nproc-per-node", "2", .. options]);
        var stored = await _distrun.Run(["--nproc-per-node", "1", .. options.Except(["--dtype", type])]);

        Assert.Equal(ResultsDocument.ResultsText(alone), ResultsDocument.ResultsText(two));
        Assert.NotEqual(ResultsDocument.ResultsText(alone), ResultsDocument.ResultsText(stored)); // other log probabilities
        Assert.StartsWith("An all-reduce adds the parts from all ranks", ResultsDocument.Parse(alone).Results[0].Text, StringComparison.Ordinal);
    }

    // The texts as Meta's script prints them; a prompt's golden text is greedy, as the config is, and shorter.
    private static void RequireDemoTexts(string[] texts)
    {
        var golden = GoldenCase.Read(Path.Combine(Repository.DemoCheckpoint, "golden.json"))
            .Where(one => one is { Echo: false, EosId: 2 })
            .SelectMany(one => one.Items)
            .ToArray();
        Assert.Equal(3, texts.Length);
        Assert.Equal($"Q: What does an all-reduce do?\nA:\n> {golden.First(item => item.Prompt.Contains("all-reduce", StringComparison.Ordinal)).Text}", texts[0]);
        var story = golden.First(item => item.Prompt == "Once upon a time").Text["there was a brave fox named ".Length..];
        Assert.StartsWith($"Once upon a time there was a brave fox named\n> {story}", texts[1], StringComparison.Ordinal);
        Assert.Equal("", texts[2]);
    }

    // Standard output as it arrives.
    private static async Task<List<string>> Pieces(Process launch)
    {
        var pieces = new List<string>();
        var buffer = new byte[1 << 16];
        while (await launch.StandardOutput.BaseStream.ReadAsync(buffer) is > 0 and var count)
        {
            pieces.Add(Encoding.UTF8.GetString(buffer, 0, count)); // the demo's texts are ASCII
        }

        return pieces;
    }
}
