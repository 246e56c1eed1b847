namespace Distributed.EndToEnd.Tests;

/// <summary>The command line that users of Meta's scripts know, and the ways to hand over prompts.</summary>
public sealed class MetasCommandLineTests : IDisposable
{
    private readonly Distrun _distrun = new();

    private static string[] Model => ["--ckpt_dir", Stories.Checkpoint(1), "--tokenizer_path", Stories.Tokenizer];

    private static string[] Json => ["worker", "complete", .. Model, "--format", "json", "--max-gen-len=2"];

    public void Dispose() => _distrun.Dispose();

    [SharedDataFact("stories260k/mp1")]
    public async Task Complete_AsTorchrunAndMetaSpellIt_RunsExamplesOverATransportThatItNames()
    {
        var underscores = await _distrun.Run(
            ["--nproc_per_node", "1", "worker", "complete", .. Model, "--max_seq_len", "128", "--max_batch_size", "4"]);
        var hyphens = await _distrun.Run(
            "--nproc-per-node=1", "worker", "complete", $"--ckpt-dir={Stories.Checkpoint(1)}", $"--tokenizer-path={Stories.Tokenizer}",
            "--max-seq-len=128", "--max-batch-size=4");

        Assert.Equal(0, underscores.ExitCode);
        Assert.Equal(4, underscores.Output.Split("\n\n==================================\n\n")[..^1].Length);
        Assert.Contains("No prompt was given (--prompt, --prompts-file, standard input); running 4 examples.", underscores.Error, StringComparison.Ordinal);
        Assert.Matches("(?m)^transport: in-process .*; torch would need NCCL here$", underscores.Error);
        Assert.Equal((0, underscores.Output), (hyphens.ExitCode, hyphens.Output));
    }

    [SharedDataTheory("stories260k/mp1")]
    [InlineData("one prompt\n\n and another \n", "one prompt", " and another ")]
    [InlineData("{\"prompt\": \"two\\nlines\"}\n{\"prompt\": \"\"}\n", "two\nlines", "")]
    public async Task Complete_StandardInput_IsAPromptALineOrJsonLines(string input, params string[] prompts)
        => Assert.Equal(prompts, Prompts(await _distrun.RunWithInput(input, Json)));

    [SharedDataFact("stories260k/mp1")]
    public async Task Complete_PromptsFromEverywhere_RunInTheOrderThatIsDocumented()
    {
        await File.WriteAllTextAsync(_distrun.Files["prompts.txt"], "from a file\nanother café 😀\n");
        var launch = await _distrun.RunWithInput(
            "never read\n",
            [
                .. Json, "--prompt-tokens", "1,403,407", "--prompts_file", "prompts.txt", "--prompt", "first", "--prompt_tokens=1",
                "--max_batch_size", "2", "--prompt", "second",
            ]);

        Assert.Equal(["first", "second", "from a file", "another café 😀", "Once upon", ""], Prompts(launch));
        Assert.Equal([1, 403, 407], ResultsDocument.Parse(launch).Results[4].PromptTokens);
    }

    private static IEnumerable<string?> Prompts(LaunchResult launch) => ResultsDocument.Parse(launch).Results.Select(result => result.Prompt);
}
