using System.Text.Json;

namespace Distributed.EndToEnd.Tests;

/// <summary>Pipeline stages as a user starts them.</summary>
public sealed class PipelineTests : IDisposable
{
    private readonly Distrun _distrun = new();

    public void Dispose() => _distrun.Dispose();

    [SharedDataFact("stories260k/golden")]
    public async Task Complete_AnyMesh_GivesTheReferencesTokensInTheSameBytes()
    {
        var cases = Stories.Golden().Where(one => one.EosId == 2 && one.MaxGenLen <= 64).ToArray();
        var prompts = cases.SelectMany(one => one.Items).Select(item => item.Prompt).Distinct().ToArray();
        var texts = new List<string>();
        foreach (var (worldSize, options) in new (int, string[])[]
        {
            (1, []), (2, ["--mesh", "pp=2"]), (4, ["--mesh", "pp=2,tp=2"]), (4, ["--device-map", "balanced"]),
            (2, ["--mesh", "pp=2", "--split", "1,4", "--micro-batches", "3"]),
        })
        {
            var launch = await _distrun.Complete(worldSize, prompts, ["--temperature", "0", "--logprobs", "--echo", "--max-batch-size", "4", .. options]);
            var document = ResultsDocument.Parse(launch);
            foreach (var one in cases)
            {
                Array.ForEach(one.Items, item => GoldenTests.RequirePart(one, item, document.Results[Array.IndexOf(prompts, item.Prompt)]));
            }

            texts.Add(ResultsDocument.ResultsText(launch));
        }

        Assert.Single(texts.Distinct());
    }

    [Fact]
    public async Task Complete_MeshOfTheLauncher_IsTheModels()
    {
        var launch = await Demo(["--nproc-per-node", "4", "--mesh", "tp=2,pp=2"], "--device-map", "auto");

        Assert.Equal(0, launch.ExitCode);
        Assert.Contains("device map auto:", launch.Error, StringComparison.Ordinal);
        Assert.Contains("stage 0 (ranks 0, 2): embedding, layers 0-", launch.Error, StringComparison.Ordinal);
        Assert.Contains("stage 1 (ranks 1, 3): layers ", launch.Error, StringComparison.Ordinal);
        Assert.Contains("MiB of cache a rank", launch.Error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("", "--mesh pp=3,tp=1", "--mesh pp=3,tp=1 has 3 ranks (3 stages x 1), and 2 are running; the product is the number of ranks.")]
    [InlineData("", "--mesh two", "--mesh two is not of the form pp=2,tp=4.")]
    [InlineData("--mesh dp=2,tp=1", "", "distrun's --mesh dp=2,tp=1 has dp=2, but one model is divided by pp")]
    [InlineData("", "--mesh pp=2 --split 1,1", "--split 1,1 has 2 layers, and the model has ")]
    [InlineData("", "--mesh pp=2 --split 1,x", "--split 1,x does not list layers of each stage, such as 12,20.")]
    [InlineData("", "--mesh pp=2 --split 1,3 --device-map auto", "--split and --device-map both place the layers; keep one.")]
    [InlineData("", "--device-map even", "--device-map even is not auto or balanced or sequential.")]
    [InlineData("", "--micro-batches 0", "--micro-batches 0 is not a whole number from 1 to 1024.")]
    public async Task Complete_MeshThatCannotBe_IsOneSentenceBeforeAnyRankStarts(string launcher, string worker, string sentence)
    {
        var launch = await Demo(["--nproc-per-node", "2", .. Words(launcher)], Words(worker));

        Assert.Equal(2, launch.ExitCode);
        Assert.Contains(sentence, launch.Error, StringComparison.Ordinal);
        Assert.DoesNotContain("[rank", launch.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Complete_DeviceMapWithoutRoom_RefusesWithNumbers()
    {
        // 2^20 positions of 2048 rows are more than any machine has.
        var launch = await Demo(["--nproc-per-node", "2"], "--device-map", "auto", "--max-seq-len", "1048576", "--max-batch-size", "2048");

        Assert.Equal(2, launch.ExitCode);
        Assert.Contains("--device-map auto cannot place the model: it has ", launch.Error, StringComparison.Ordinal);
        Assert.Contains("and its 2 stages have ", launch.Error, StringComparison.Ordinal);
        Assert.Single(launch.Error.Split('\n'), line => line.Contains("cannot place", StringComparison.Ordinal));
    }

    [LinuxTheory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public async Task Complete_RankOfAnyStageIsKilled_IsReported(int rank)
    {
        var launch = _distrun.Start(
            "--nproc-per-node", "4", "worker", "complete", "--ckpt-dir", Repository.DemoCheckpoint, "--tokenizer-path",
            Path.Combine(Repository.DemoCheckpoint, "tokenizer.model"), "--prompt", "Once upon a time", "--max-seq-len", "100000", "--max-gen-len",
            "None", "--stop-token-ids", "0", "--mesh", "pp=2,tp=2");
        launch.StandardInput.Close();
        Assert.NotEqual(0, await launch.StandardOutput.ReadAsync(new char[1]).AsTask().DefaultTimeout());
        Assert.Equal(0, Posix.Kill(_distrun.RankProcess(launch, rank), Posix.SigKill));
        var result = await Distrun.Finish(launch);

        Assert.Equal(137, result.ExitCode);
        var rootCause = result.Error[result.Error.IndexOf("Root Cause (first observed failure):", StringComparison.Ordinal)..];
        Assert.Contains($"rank      : {rank} (local_rank: {rank})", rootCause, StringComparison.Ordinal);
        await _distrun.AssertNothingIsLeft();
    }

    /// <summary>
    /// Stage 0 begins to work on the part after next before stage 1 has done the first one's sums: both work at once. By the order of events on the machine's
    /// one clock, not by how long anything takes.
    /// </summary>
    [LinuxFact]
    public async Task Complete_Trace_ShowsStagesAtWorkAtOnce()
    {
        var trace = _distrun.Files["trace.json"];
        var prompt = string.Join(',', Enumerable.Range(0, 256).Select(index => 3 + (index * 7 % 500)));

        // A machine that is busy may run the two in turns for a while.
        for (var attempt = 0; await CountOverlapsAsync() == 0; attempt++)
        {
            Assert.True(attempt < 20, "Stages never worked at once.");
        }

        async Task<int> CountOverlapsAsync()
        {
            var launch = await Demo(
                ["--nproc-per-node", "2"], "--mesh", "pp=2", "--micro-batches", "8", "--trace", trace, "--prompt-tokens", prompt, "--max-gen-len", "1", "--max-seq-len", "300",
                "--max-batch-size", "1");
            Assert.Equal(0, launch.ExitCode);

            // The prompt's parts: 8 of 32 tokens. A stage works on a part from the message that brings it, or the one before, to the last sum of its layers.
            var sent = Operations(0, "Send").Take(8).ToArray();
            var received = Operations(1, "Receive").Take(8).ToArray();
            Assert.Equal(Enumerable.Repeat(sent[0].Bytes, 7), sent.Take(7).Select(entry => entry.Bytes));
            Assert.Equal(sent.Select(entry => entry.Bytes), received.Select(entry => entry.Bytes));
            var sums = Operations(1, "AllReduce").ToArray();
            var overlaps = 0;
            for (var part = 0; part < 7; part++)
            {
                var (workedFrom, workedTo) = (received[part].End, sums.Where(sum => sum.End <= received[part + 1].Start).Max(sum => sum.End));
                var (nextFrom, nextTo) = (sent[part].End, sent[part + 1].Start); // stage 0 on the next part
                Assert.True(sent[part].Start < received[part].End, "A part arrives before it is sent.");
                overlaps += nextFrom < workedTo && workedFrom < nextTo ? 1 : 0;
            }

            return overlaps;
        }

        IEnumerable<(double Start, double End, long Bytes)> Operations(int rank, string name)
        {
            using var document = JsonDocument.Parse(File.ReadAllText(trace.Replace(".json", $".{rank}.json", StringComparison.Ordinal)));
            return [.. document.RootElement.GetProperty("traceEvents").EnumerateArray()
                .Where(entry => entry.GetProperty("name").GetString() == name)
                .Select(entry => (Start: entry.GetProperty("ts").GetDouble(), Duration: entry.GetProperty("dur").GetDouble(), Bytes: entry.GetProperty("args").GetProperty("bytes").GetInt64()))
                .Select(entry => (entry.Start, entry.Start + entry.Duration, entry.Bytes))];
        }
    }

    private static string[] Words(string text) => text.Split(' ', StringSplitOptions.RemoveEmptyEntries);

    private Task<LaunchResult> Demo(string[] launcher, params string[] worker)
        => _distrun.Run([.. launcher, "worker", "complete", "--config", Path.Combine(Repository.Root, "configs", "demo.json"), .. worker]);
}
