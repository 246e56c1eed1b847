using System.Text.Json;
using Distributed.Collectives.Launching;

namespace Distributed.Worker.Tests.Running;

/// <summary>The worker as a process of its own, one rank, without a launcher.</summary>
public sealed class WorkerProgramTests(OneShardDemo demo) : IClassFixture<OneShardDemo>
{
    private const string Separator = "\n\n==================================\n\n";

    private static readonly string Tokenizer = Path.Combine(Repository.DemoCheckpoint, "tokenizer.model");
    private static readonly string DemoConfig = Path.Combine(Repository.Root, "configs", "demo.json");

    private string[] Greedy(string command, params string[] more) =>
    [
        command, "--ckpt_dir", demo.CheckpointDirectory, "--tokenizer_path", Tokenizer, "--max_seq_len", "256", "--temperature", "0", .. more,
    ];

    [Fact]
    public async Task Complete_GoldenPrompts_PrintsTheReferencesDocument()
    {
        using var golden = JsonDocument.Parse(await File.ReadAllBytesAsync(Path.Combine(Repository.DemoCheckpoint, "golden.json")));
        var items = golden.RootElement.GetProperty("cases").EnumerateArray()
            .Where(one => one.GetProperty("name").GetString()!.StartsWith("single", StringComparison.Ordinal))
            .Where(one => !one.GetProperty("echo").GetBoolean())
            .SelectMany(one => one.GetProperty("items").EnumerateArray())
            .ToArray();
        var prompts = items.SelectMany(item => new[] { "--prompt", item.GetProperty("prompt").GetString()! });

        var outcome = await WorkerProgram.RunAsync(Greedy("complete", ["--format", "json", "--logprobs", .. prompts]));

        Assert.Equal(0, outcome.ExitCode);
        using var document = JsonDocument.Parse(outcome.Output);
        Assert.Equal(1, document.RootElement.GetProperty("world_size").GetInt32());
        var results = document.RootElement.GetProperty("results").EnumerateArray().ToArray();
        Assert.Equal(items.Length, results.Length);
        foreach (var (item, result) in items.Zip(results))
        {
            Assert.Equal(item.GetProperty("prompt").GetString(), result.GetProperty("prompt").GetString());
            Assert.Equal(item.GetProperty("tokens").Deserialize<int[]>(), result.GetProperty("tokens").Deserialize<int[]>());
            Assert.Equal(item.GetProperty("text").GetString(), result.GetProperty("generation").GetString());
        }
    }

    [Fact]
    public async Task Complete_OnePrompt_PrintsItsTextOnOutputAndFiguresOnError()
    {
        var outcome = await WorkerProgram.RunAsync(Greedy("complete", "--prompt", "Q: What do bees make?\nA:"));

        Assert.Equal((0, "Bees make honey.\n"), (outcome.ExitCode, outcome.Output));
        Assert.Contains("torch would need NCCL here", outcome.Error, StringComparison.Ordinal);
        Assert.Matches(@"Loaded in \d+\.\d\d seconds", outcome.Error);
        Assert.Matches(@"1 rank x \d+ threads? \| loaded in .* \| prefill .* \| decode .* tokens/s \| memory \d+ MiB", outcome.Error);
    }

    [Fact]
    public async Task Complete_SeveralPromptsOnStandardInput_PrintsThemAsMetasScriptDoes()
    {
        var outcome = await WorkerProgram.RunAsync(
            Greedy("complete", "--max-batch-size", "2"),
            """
            {"prompt": "Q: What do bees make?\nA:"}
            {"prompt": "Q: What is a rank?\nA:"}
            {"prompt": "a"}
            """,
            []);

        Assert.Equal(0, outcome.ExitCode);
        Assert.Equal(
            $"Q: What do bees make?\nA:\n> Bees make honey.{Separator}"
            + $"Q: What is a rank?\nA:\n> A rank is the number of one worker in a group of workers.{Separator}"
            + $"a\n> rank?\nA: A rank is the number of one worker in a group of workers.{Separator}",
            outcome.Output);
    }

    [Fact]
    public async Task Complete_NothingGiven_RunsItsExamplesAndSaysSo()
    {
        var outcome = await WorkerProgram.RunAsync(Greedy("complete", "--max-gen-len", "2"));

        Assert.Equal(0, outcome.ExitCode);
        Assert.Equal(4, outcome.Output.Split("==================================").Length - 1);
        Assert.Contains("No prompt was given", outcome.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Complete_BatchedAndAlone_GivesTheSameResultsByteForByte()
    {
        string[] prompts = ["--prompt", "Once upon a time", "--prompt", "", "--prompt", "The", "--prompt-tokens", "1,365,367"];
        string[] options = ["--format", "json", "--logprobs", "--echo", "--temperature", "0.9", "--seed", "7", "--max-gen-len", "20"];

        var results = new List<string>();
        foreach (var batch in new[] { "1", "3", "4" })
        {
            var outcome = await WorkerProgram.RunAsync(Greedy("complete", [.. options, "--max-batch-size", batch, .. prompts]));
            results.Add(outcome.Output[..outcome.Output.IndexOf("\"stats\"", StringComparison.Ordinal)]);
        }

        // A cache of two rows: the four prompts run two by two.
        var narrow = await WorkerProgram.RunAsync(
            Greedy("complete", [.. options, "--max-seq-len", "100", "--kv-cache-tokens", "256", "--cache-dtype", "f32", .. prompts]));
        results.Add(narrow.Output[..narrow.Output.IndexOf("\"stats\"", StringComparison.Ordinal)]);

        Assert.Single(results.Distinct());
    }

    [Fact]
    public async Task Chat_DialogsFile_AnswersAsMetasScriptPrints()
    {
        using var folder = new TemporaryFolder();
        var dialogs = folder.Write(
            "dialogs.json",
            """[[{"role": "user", "content": "What is the capital of Japan?"}], [{"role": "user", "content": "[INST] Who are you?"}]]""");
        var outcome = await WorkerProgram.RunAsync(Greedy("chat", "--dialogs-file", dialogs));

        Assert.Equal(0, outcome.ExitCode);
        Assert.Equal(
            $"User: What is the capital of Japan?\n\n> Assistant: The capital of Japan is Tokyo. {Separator}"
            + $"User: [INST] Who are you?\n\n> Assistant: Error: special tags are not allowed as part of the prompt.{Separator}",
            outcome.Output);
    }

    [Fact]
    public async Task Chat_JsonFormat_HasDialogAndAssistant()
    {
        var outcome = await WorkerProgram.RunAsync(Greedy("chat", "--format", "json", "--prompt", "Who are you?"));

        using var document = JsonDocument.Parse(outcome.Output);
        var result = Assert.Single(document.RootElement.GetProperty("results").EnumerateArray().ToArray());
        Assert.Equal(
            """{"role":"assistant","content":"I am a very small model, split over several workers. "}""",
            result.GetProperty("generation").GetRawText());
        Assert.Equal("""[{"role":"user","content":"Who are you?"}]""", result.GetProperty("dialog").GetRawText());
        Assert.Equal("stop", result.GetProperty("finish_reason").GetString());
    }

    [Fact]
    public async Task Chat_NoThinkingOfAModelThatDoesNotThink_IsRefused()
    {
        var outcome = await WorkerProgram.RunAsync(Greedy("chat", "--no-thinking", "--prompt", "Who are you?"));

        Assert.Equal((2, ""), (outcome.ExitCode, outcome.Output));
        Assert.Contains("--no-thinking is for models whose chat template has a switch for thinking, as Qwen3's; leave it out.", outcome.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Chat_LinesOnStandardInput_IsAConversation()
    {
        var outcome = await WorkerProgram.RunAsync(
            Greedy("chat", "--max-seq-len", "64"),
            "What is 7 plus 5?\n\n[INST]\n/reset\nWho are you?\nWho are you?\nWho are you?\nWho are you?\n/exit\nnever\n",
            []);

        Assert.Equal(0, outcome.ExitCode);
        Assert.StartsWith(
            "7 plus 5 is 12. \nI am a very small model, split over several workers. \n", outcome.Output, StringComparison.Ordinal);
        Assert.Contains("Error: special tags are not allowed as part of the prompt.", outcome.Error, StringComparison.Ordinal);
        Assert.Matches("The conversation has [0-9]+ tokens and max_seq_len is 64", outcome.Error);
    }

    [Fact]
    public async Task Tokenize_Lines_AreAnswered()
    {
        var outcome = await WorkerProgram.RunAsync(["tokenize", "--tokenizer-path", Tokenizer, "--bos"], "{\"text\": \"Once\"}\n", []);

        Assert.Equal(new WorkerOutcome(0, "{\"text\":\"Once\",\"tokens\":[1,365],\"pieces\":[\"<s>\",\"▁Once\"]}\n", ""), outcome);
    }

    [Fact]
    public async Task Run_SeveralMistakes_AreAllSaidAndNothingIsPrinted()
    {
        var outcome = await WorkerProgram.RunAsync(
            "complete", "--ckpt-dir", Repository.DemoCheckpoint, "--tokenizer-path", "nowhere.model", "--top-p", "3", "--prompts-file", "none.txt");

        Assert.Equal((2, ""), (outcome.ExitCode, outcome.Output));
        Assert.Equal(3, outcome.Error.Split('\n', StringSplitOptions.RemoveEmptyEntries).Length);
        Assert.Contains("top_p is 3;", outcome.Error, StringComparison.Ordinal);
        Assert.Contains("nowhere.model", outcome.Error, StringComparison.Ordinal);
        Assert.Contains("none.txt", outcome.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Run_DamagedShard_IsNamedUnlessChecksumsAreSkipped()
    {
        using var folder = new TemporaryFolder();
        foreach (var file in Directory.EnumerateFiles(demo.CheckpointDirectory))
        {
            File.Copy(file, Path.Combine(folder.Path, Path.GetFileName(file)));
        }

        var shard = Path.Combine(folder.Path, "consolidated.00.pth");
        var bytes = await File.ReadAllBytesAsync(shard);
        bytes[bytes.Length / 2] ^= 1; // the lowest bit of a weight
        await File.WriteAllBytesAsync(shard, bytes);
        string[] arguments = ["complete", "--ckpt-dir", folder.Path, "--tokenizer-path", Tokenizer, "--prompt", "a", "--max-gen-len", "1"];

        var verified = await WorkerProgram.RunAsync(arguments);
        var skipped = await WorkerProgram.RunAsync([.. arguments, "--skip-checksums"]);

        Assert.Equal((2, ""), (verified.ExitCode, verified.Output));
        Assert.Contains("does not match its checksum", verified.Error, StringComparison.Ordinal);
        Assert.Equal(0, skipped.ExitCode);
    }

    [Fact]
    public async Task Run_WeightsThatAreNotFinite_FailsNamingRankAndLayer()
    {
        using var damaged = new OneShardDemo(damagedLayer: 2);
        using var folder = new TemporaryFolder();
        var errorFile = Path.Combine(folder.Path, "error.json");
        var outcome = await WorkerProgram.RunAsync(
            ["complete", "--ckpt-dir", damaged.CheckpointDirectory, "--tokenizer-path", Tokenizer, "--prompt", "a", "--format", "json"],
            "",
            new() { ["RANK"] = "0", ["LOCAL_RANK"] = "0", ["WORLD_SIZE"] = "1", ["TORCHELASTIC_ERROR_FILE"] = errorFile });

        Assert.Equal((1, ""), (outcome.ExitCode, outcome.Output));
        Assert.Contains("Rank 0 computed a number that is not finite", outcome.Error, StringComparison.Ordinal);
        Assert.Contains("layer 2", outcome.Error, StringComparison.Ordinal);
        Assert.DoesNotContain("   at ", outcome.Error, StringComparison.Ordinal); // no stack
        Assert.Contains("layer 2", ErrorFile.TryRead(errorFile, out _)!.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("complete", "demo.json", "2", 0, "")]
    [InlineData("chat", "demo-chat.json", "2", 0, "")]
    [InlineData("complete", "demo.json", "3", 0, "")]
    [InlineData("complete", "demo.json", "2000", 2, "The model's 1024 token ids cannot be divided among 2000 ranks")]
    public async Task Preflight_ChecksAgainstTheWorldSizeAndReadsNoInput(
        string command, string config, string worldSize, int exitCode, string sentence)
    {
        var outcome = await Preflight(worldSize, command, "--config", Path.Combine(Repository.Root, "configs", config));

        Assert.Equal((exitCode, ""), (outcome.ExitCode, outcome.Output));
        Assert.StartsWith(sentence, outcome.Error, StringComparison.Ordinal);
        Assert.Equal(sentence.Length == 0, outcome.Error.Length == 0);
    }

    [Fact]
    public async Task Preflight_PromptLongerThanMaxSeqLen_NamesBothNumbers()
    {
        var outcome = await Preflight("2", "complete", "--config", DemoConfig, "--max-seq-len", "8");

        Assert.Equal(2, outcome.ExitCode);
        Assert.Contains("Prompt 1 has 14 tokens but max_seq_len is 8;", outcome.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Preflight_Help_IsSilent() => Assert.Equal(new WorkerOutcome(0, "", ""), await Preflight("2", "complete", "--help"));

    [Fact]
    public async Task Run_SeveralRanksWithoutALauncher_SaysWhatToDo()
    {
        var outcome = await WorkerProgram.RunAsync(
            ["complete", "--config", DemoConfig], "", new() { ["RANK"] = "0", ["LOCAL_RANK"] = "0", ["WORLD_SIZE"] = "2" });

        Assert.Equal(2, outcome.ExitCode);
        Assert.Contains("start several ranks with distrun", outcome.Error, StringComparison.Ordinal);
    }

    private static Task<WorkerOutcome> Preflight(string worldSize, params string[] arguments)
        => WorkerProgram.RunAsync(arguments, "never read", new() { ["DISTRUN_PREFLIGHT"] = "1", ["WORLD_SIZE"] = worldSize });
}
