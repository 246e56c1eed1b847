namespace Distributed.Worker.Tests.Running;

/// <summary>The commands about checkpoints, and a model's folder in place of a checkpoint and its tokenizer.</summary>
public sealed class ConvertCommandTests
{
    private static readonly string Tokenizer = Path.Combine(Repository.DemoCheckpoint, "tokenizer.model");

    [Fact]
    public async Task Convert_Demo_RunsToTheSameText()
    {
        using var folder = new TemporaryFolder();
        var output = Path.Combine(folder.Path, "hf");
        string[] options = ["--prompt", "Once upon a time", "--temperature", "0", "--max-gen-len", "12"];

        var converted = await WorkerProgram.RunAsync("convert", "--model", Repository.DemoCheckpoint, "--output", output, "--layout", "huggingface");
        var expected = await WorkerProgram.RunAsync(["complete", "--ckpt-dir", Repository.DemoCheckpoint, "--tokenizer-path", Tokenizer, .. options]);
        var actual = await WorkerProgram.RunAsync(["complete", "--model", output, .. options]);
        var inspected = await WorkerProgram.RunAsync("inspect", "--model", output);

        Assert.Equal((0, ""), (converted.ExitCode, converted.Output));
        Assert.Contains("100 % of", converted.Error, StringComparison.Ordinal);
        Assert.Equal((0, expected.Output), (actual.ExitCode, actual.Output));
        Assert.True(expected.Output.Length > 20);
        Assert.Equal(0, inspected.ExitCode);
        Assert.Contains("1024 token ids, 1 shard(s)", inspected.Output, StringComparison.Ordinal);
        Assert.Contains("layers.0.attention.wq.weight\tbfloat16\t[", inspected.Output, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("int8")]
    [InlineData("int4")]
    public async Task Convert_Quantised_RunsToTheTextOfQuantisingOnLoad(string type)
    {
        using var folder = new TemporaryFolder();
        var output = Path.Combine(folder.Path, type);
        string[] options = ["--prompt", "Once upon a time", "--temperature", "0", "--max-gen-len", "24"];

        var converted = await WorkerProgram.RunAsync("convert", "--model", Repository.DemoCheckpoint, "--output", output, "--dtype", type);
        var expected = await WorkerProgram.RunAsync(["complete", "--ckpt-dir", Repository.DemoCheckpoint, "--tokenizer-path", Tokenizer, "--dtype", type, .. options]);
        var actual = await WorkerProgram.RunAsync(["complete", "--model", output, .. options]);
        var asked = await WorkerProgram.RunAsync(["complete", "--model", output, "--dtype", type == "int8" ? "int4" : "int8", .. options]);
        var inspected = await WorkerProgram.RunAsync("inspect", "--model", output);

        Assert.Equal((0, ""), (converted.ExitCode, converted.Output));
        Assert.Equal((0, expected.Output), (actual.ExitCode, actual.Output));
        Assert.DoesNotContain("layers quantised", actual.Error, StringComparison.Ordinal);
        Assert.Equal(2, asked.ExitCode);
        Assert.Contains($"The checkpoint is quantised to {type} and cannot be run in", asked.Error, StringComparison.Ordinal);
        Assert.Contains($"quantised to {type} in blocks of 32", inspected.Output, StringComparison.Ordinal);
        Assert.Contains($"layers.0.attention.wq.weight\t{type}\t[128, 128]", inspected.Output, StringComparison.Ordinal);
        Assert.Contains("output.weight\tint8\t", inspected.Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Convert_SeveralMistakes_AreAllSaid()
    {
        var outcome = await WorkerProgram.RunAsync("convert", "--layout", "gguf", "--shards", "0", "--dtype", "float32", "--type", "int8");

        Assert.Equal((2, ""), (outcome.ExitCode, outcome.Output));
        Assert.Contains("--model is missing", outcome.Error, StringComparison.Ordinal);
        Assert.Contains("--output is missing", outcome.Error, StringComparison.Ordinal);
        Assert.Contains("gguf is not meta or huggingface", outcome.Error, StringComparison.Ordinal);
        Assert.Contains("--shards 0 is not a whole number", outcome.Error, StringComparison.Ordinal);
        Assert.Contains("--dtype float32 is not int8 or int4", outcome.Error, StringComparison.Ordinal);
        Assert.Contains("--type int8 is not float32 or bfloat16 or float16", outcome.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Convert_FolderThatExists_IsRefused()
    {
        using var folder = new TemporaryFolder();

        var outcome = await WorkerProgram.RunAsync("convert", "--model", Repository.DemoCheckpoint, "--output", folder.Path, "--layout", "meta");

        Assert.Equal(2, outcome.ExitCode);
        Assert.Contains("exists; name a new folder", outcome.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Complete_ModelAndCheckpoint_AreTooMany()
    {
        var outcome = await WorkerProgram.RunAsync(
            "complete", "--model", Repository.DemoCheckpoint, "--ckpt-dir", Repository.DemoCheckpoint, "--prompt", "a");

        Assert.Equal(2, outcome.ExitCode);
        Assert.Contains("--model and --ckpt-dir both name the checkpoint; keep one.", outcome.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Complete_ModelWithoutATokenizer_SaysWhatToName()
    {
        using var folder = new TemporaryFolder();
        File.Copy(Path.Combine(Repository.DemoCheckpoint, "params.json"), Path.Combine(folder.Path, "params.json"));

        var outcome = await WorkerProgram.RunAsync("complete", "--model", folder.Path, "--prompt", "a");

        Assert.Equal(2, outcome.ExitCode);
        Assert.Contains("holds no tokenizer.json or tokenizer.model; name the model's tokenizer", outcome.Error, StringComparison.Ordinal);
    }
}
