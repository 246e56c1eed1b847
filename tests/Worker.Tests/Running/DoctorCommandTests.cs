using System.Text.Json;

namespace Distributed.Worker.Tests.Running;

public sealed class DoctorCommandTests
{
    [Fact]
    public async Task Doctor_Demo_SaysThatItWouldLoad()
    {
        var outcome = await WorkerProgram.RunAsync("doctor", Repository.DemoCheckpoint, "--world-size", "2", "--deep");

        Assert.Equal(0, outcome.ExitCode);
        Assert.Contains("model: ", outcome.Output, StringComparison.Ordinal);
        Assert.Contains("Meta's layout, 2 shards, 2.7 MB, bfloat16", outcome.Output, StringComparison.Ordinal);
        Assert.Contains("file: consolidated.01.pth, CRC-32 right", outcome.Output, StringComparison.Ordinal);
        Assert.Contains("kernels, ", outcome.Output, StringComparison.Ordinal);
        Assert.Contains("2 ranks and one rank agree after every layer", outcome.Output, StringComparison.Ordinal);
        Assert.EndsWith($"It would load: 0 errors, 0 warnings.{Environment.NewLine}", outcome.Output, StringComparison.Ordinal);
        Assert.Contains("consolidated.00.pth: CRC-32 is right", outcome.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Doctor_MediumPrecision_SaysWhatComputesAndForWhatItIs()
    {
        var outcome = await WorkerProgram.RunAsync(["doctor", Repository.DemoCheckpoint, "--matmul-precision", "medium", "--skip-checksums"], "", new() { ["DISTRUN_EMITTED_CODE"] = "0" });
        var refused = await WorkerProgram.RunAsync(
            "complete", "--model", Repository.DemoCheckpoint, "--prompt", "Once", "--matmul-precision", "medium", "--dtype", "int4");

        Assert.Contains("--matmul-precision medium; a cache of", outcome.Output, StringComparison.Ordinal);
        Assert.Contains("--matmul-precision medium: pairs of fused multiply-adds, as DISTRUN_EMITTED_CODE is 0", outcome.Output, StringComparison.Ordinal);
        Assert.DoesNotContain("emitted VNNI", outcome.Output, StringComparison.Ordinal);
        Assert.Equal(2, refused.ExitCode);
        Assert.Contains(
            "--matmul-precision medium is for weights in bfloat16, and --dtype int4 makes them int4; leave one of them out.", refused.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Doctor_FolderThatWouldNotLoad_ExitsWithOneAndOneDocument()
    {
        using var folder = new TemporaryFolder();
        File.Copy(Path.Combine(Repository.DemoCheckpoint, "params.json"), Path.Combine(folder.Path, "params.json"));
        File.Copy(Path.Combine(Repository.DemoCheckpoint, "consolidated.01.pth"), Path.Combine(folder.Path, "consolidated.01.pth"));

        var outcome = await WorkerProgram.RunAsync(
            "doctor", "--model", folder.Path, "--format", "json", "--tokenizer-path", Path.Combine(Repository.DemoCheckpoint, "tokenizer.model"));

        Assert.Equal(1, outcome.ExitCode);
        using var document = JsonDocument.Parse(outcome.Output);
        Assert.False(document.RootElement.GetProperty("would_load").GetBoolean());
        Assert.Equal(JsonValueKind.Null, document.RootElement.GetProperty("model").ValueKind);
        Assert.Equal(1024, document.RootElement.GetProperty("tokenizer").GetProperty("vocab_size").GetInt32());
        var first = document.RootElement.GetProperty("findings")[0];
        Assert.Equal("error", first.GetProperty("level").GetString());
        Assert.Contains("consolidated.00.pth is missing", first.GetProperty("message").GetString(), StringComparison.Ordinal);
    }

    /// <summary>What a run with these options would take is told without running it.</summary>
    [Fact]
    public async Task Doctor_FormatsOfWeightsAndCache_AreCounted()
    {
        using var folder = new TemporaryFolder();
        var converted = Path.Combine(folder.Path, "int8");
        string[] options = ["--world-size", "2", "--max-seq-len", "192", "--max-batch-size", "4", "--format", "json", "--skip-checksums"];

        var asStored = await WorkerProgram.RunAsync(["doctor", Repository.DemoCheckpoint, .. options]);
        var asked = await WorkerProgram.RunAsync(
            ["doctor", Repository.DemoCheckpoint, "--dtype", "int8", "--cache-dtype", "int8", "--kv-cache-tokens", "200", .. options]);
        var conversion = await WorkerProgram.RunAsync("convert", "--model", Repository.DemoCheckpoint, "--output", converted, "--dtype", "int8");
        var quantized = await WorkerProgram.RunAsync(["doctor", converted, .. options]);
        var text = await WorkerProgram.RunAsync("doctor", converted, "--cache-dtype", "bf16", "--kv-cache-tokens", "2049", "--skip-checksums");
        var refused = await WorkerProgram.RunAsync("doctor", converted, "--cache-dtype", "fp8", "--kv-cache-tokens", "100");

        Assert.Equal((0, 0, 0, 0), (asStored.ExitCode, asked.ExitCode, conversion.ExitCode, quantized.ExitCode));
        var (a, b, c) = (Rank(asStored), Rank(asked), Rank(quantized));
        Assert.Equal(4 * 192 * 2 * 6 * 2 * 16 * 4, a.CacheBytes); // rows, positions, keys and values, layers, heads, width, bytes
        Assert.Equal(256 * 2 * 6 * 2 * (16 + 4), b.CacheBytes); // whole blocks, a scale a head
        Assert.InRange(b.WeightBytes / (double)a.WeightBytes, 0.53, 0.7); // 8.5 of 16 bits, and groups of 16 columns padded to blocks
        Assert.Equal(b.WeightBytes, c.WeightBytes);
        Assert.Contains("quantised to int8, the embedding bfloat16", text.Output, StringComparison.Ordinal);
        Assert.Contains("a cache of 33 blocks of 64 positions in bf16", text.Output, StringComparison.Ordinal);
        Assert.Equal(2, refused.ExitCode);
        Assert.Contains("--cache-dtype fp8 is none of f32, bf16, int8.", refused.Error, StringComparison.Ordinal);
        Assert.Contains("--kv-cache-tokens 100 holds less than one row of --max-seq-len 2048", refused.Error, StringComparison.Ordinal);

        static (long WeightBytes, long CacheBytes) Rank(WorkerOutcome outcome)
        {
            using var document = JsonDocument.Parse(outcome.Output);
            var rank = document.RootElement.GetProperty("world_sizes")[0];
            return (rank.GetProperty("rank_weight_bytes").GetInt64(), rank.GetProperty("rank_cache_bytes").GetInt64());
        }
    }

    [Fact]
    public async Task Doctor_Mesh_TellsOfTheRankOfTheStageThatHasMost()
    {
        var one = await MemoryAsync("--world-size", "1");
        var stages = await MemoryAsync("--mesh", "pp=2");
        var refused = await WorkerProgram.RunAsync("doctor", Repository.DemoCheckpoint, "--mesh", "pp=2,tp=2", "--world-size", "2");

        // Three of six layers; the output layer is the last stage's.
        Assert.Equal((1, 2), (one.GetProperty("world_size").GetInt32(), stages.GetProperty("world_size").GetInt32()));
        var (all, half) = (one.GetProperty("rank_weight_bytes").GetInt64(), stages.GetProperty("rank_weight_bytes").GetInt64());
        const long Output = 1024 * 128 * 2;
        Assert.Equal(((all - Output) / 2) + Output, half);
        Assert.Equal(2, refused.ExitCode);
        Assert.Contains("--mesh pp=2,tp=2 has 4 ranks (2 stages x 2), and 2 are running", refused.Error, StringComparison.Ordinal);

        static async Task<JsonElement> MemoryAsync(params string[] options)
        {
            var outcome = await WorkerProgram.RunAsync(["doctor", Repository.DemoCheckpoint, "--skip-checksums", "--format", "json", .. options]);
            using var document = JsonDocument.Parse(outcome.Output);
            return document.RootElement.GetProperty("world_sizes")[0].Clone();
        }
    }

    [Fact]
    public async Task Doctor_AnotherBackend_IsForDeep()
    {
        var alone = await WorkerProgram.RunAsync("doctor", Repository.DemoCheckpoint, "--backend", "torch", "--device", "cpu");
        var without = await WorkerProgram.RunAsync("doctor", Repository.DemoCheckpoint, "--deep", "--device", "cpu");

        Assert.Equal((2, 2), (alone.ExitCode, without.ExitCode));
        Assert.Contains("--backend torch is for --deep, which compares it with the managed backend; add that, or leave it out.", alone.Error, StringComparison.Ordinal);
        Assert.Contains("--device cpu belongs to --backend torch", without.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Doctor_WithoutAFolder_SaysHowItIsCalled()
    {
        var outcome = await WorkerProgram.RunAsync("doctor", "--world-size", "0");

        Assert.Equal((2, ""), (outcome.ExitCode, outcome.Output));
        Assert.Contains("--model is missing; name the folder of the checkpoint: worker doctor DIR.", outcome.Error, StringComparison.Ordinal);
        Assert.Contains("--world-size 0 is not a whole number from 1 to 1024", outcome.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Inspect_FolderAlone_IsTheModel()
    {
        var outcome = await WorkerProgram.RunAsync("inspect", Repository.DemoCheckpoint);
        var two = await WorkerProgram.RunAsync("inspect", Repository.DemoCheckpoint, "another");

        Assert.Equal(0, outcome.ExitCode);
        Assert.Contains("1024 token ids", outcome.Output, StringComparison.Ordinal);
        Assert.Equal(2, two.ExitCode);
        Assert.Contains("belongs to no option of inspect", two.Error, StringComparison.Ordinal);
    }
}
