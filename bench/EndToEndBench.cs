using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using Distributed.Engine.Diagnosis;
using Distributed.Engine.Kernels;

namespace Distributed.Bench;

/// <summary>
/// What a user gets: <c>distrun worker complete</c> on a checkpoint of a public shape, as one rank with all threads and as one rank a core,
/// next to what the machine's memory gives in the same moments. Decoding can be no faster than reading every weight, and the keys and values
/// of all positions so far, once a token.
/// </summary>
internal static class EndToEndBench
{
    private const int EosId = 2;
    private const int Prompt = 256;
    private const int Tokens = 64;

    public static int Run(string[] args)
    {
        var options = new BenchOptions(args, "shape", "directory", "prompt", "tokens", "rounds", "threads", "distrun");
        var threads = options.Number("threads", Environment.ProcessorCount);
        var directory = options.Text("directory", Path.Combine(Path.GetTempPath(), "distributed-bench"));
        var shapes = options.Text("shape", "1b,110m").Split(',');
        Console.WriteLine($"{"bf16",-6} {"ranks x threads",-16} {"load s",7} {"prefill/s",10} {"decode/s",9} {"GB/s",6} {"read-sum",9} {"share",6} {"MiB a rank",11}");
        foreach (var shape in shapes)
        {
            foreach (var ranks in new[] { 1, threads }.Distinct())
            {
                var folder = BenchCheckpoint.At(directory, shape, ranks);
                Measure(shape, folder, ranks, threads / ranks, options);
            }
        }

        return 0;
    }

    private static unsafe void Measure(string shape, string folder, int ranks, int threads, BenchOptions options)
    {
        var model = BenchShape.Named(shape);
        var meanPosition = options.Number("prompt", Prompt) + (options.Number("tokens", Tokens) / 2);
        var touched = (BenchShape.MatrixElementCount(model) * sizeof(ushort)) + (BenchShape.KeyValueElementCount(model) * meanPosition * sizeof(float));
        var samples = new List<Sample>();
        var bandwidths = new List<double>();
        for (var round = 0; round < options.Number("rounds", 5); round++)
        {
            var before = Bandwidth(ranks * threads);
            samples.Add(Launch(folder, ranks, threads, options));
            bandwidths.Add((before + Bandwidth(ranks * threads)) / 2);
        }

        var decode = Median(samples.Select(sample => sample.DecodeRate));
        var bandwidth = Median(bandwidths);
        var share = Median(samples.Zip(bandwidths, (sample, limit) => sample.DecodeRate * touched / 1e9 / limit));
        Console.WriteLine(string.Create(
            CultureInfo.InvariantCulture,
            $"{shape,-6} {$"{ranks} x {threads}",-16} {Median(samples.Select(sample => sample.LoadSeconds)),7:F2} " +
            $"{Median(samples.Select(sample => sample.PrefillRate)),10:F0} {decode,9:F1} {decode * touched / 1e9,6:F1} {bandwidth,9:F1} {share,6:P0} " +
            $"{string.Join(" + ", samples[0].PeakMemory.Select(bytes => bytes >> 20)),11}"));
    }

    private static unsafe double Bandwidth(int threads)
    {
        using var memory = new BenchMemory(1L << 30);
        new Span<byte>(memory.Data, (int)memory.ByteCount).Fill(1);
        using var pool = new ComputePool(threads, "probe");
        return Median(Enumerable.Range(0, 5).Select(_ => ReadBandwidthProbe.Measure(pool, memory.Data, memory.ByteCount)));
    }

    private static Sample Launch(string folder, int ranks, int threads, BenchOptions options)
    {
        var promptLength = options.Number("prompt", Prompt);
        var tokenCount = options.Number("tokens", Tokens);
        var start = new ProcessStartInfo(options.Text("distrun", Distrun)) { RedirectStandardOutput = true };
        string[] arguments =
        [
            "--nproc-per-node", $"{ranks}", "worker", "complete", "--ckpt-dir", folder,
            "--tokenizer-path", Path.Combine(folder, "tokenizer.model"), "--threads", $"{threads}", "--format", "json",
            "--max-seq-len", $"{promptLength + tokenCount}", "--max-gen-len", $"{tokenCount}", "--temperature", "0",
            "--stop-token-ids", $"{EosId}", "--prompt-tokens", string.Join(',', Enumerable.Range(3, promptLength)),
        ];
        foreach (var argument in arguments)
        {
            start.ArgumentList.Add(argument);
        }

        using var process = Process.Start(start)!;
        var output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        if (process.ExitCode != 0)
        {
            throw new InvalidOperationException($"distrun ended with exit code {process.ExitCode}.");
        }

        using var document = JsonDocument.Parse(output);
        var generated = document.RootElement.GetProperty("results")[0].GetProperty("tokens").GetArrayLength();
        if (generated < tokenCount / 2)
        {
            throw new InvalidOperationException($"Only {generated} tokens were generated; another --prompt length avoids the end of the text.");
        }

        var stats = document.RootElement.GetProperty("stats");
        return new Sample(
            stats.GetProperty("load_seconds").GetDouble(),
            stats.GetProperty("prefill_tokens_per_second").GetDouble(),
            stats.GetProperty("decode_tokens_per_second").GetDouble(),
            [.. stats.GetProperty("peak_rss_bytes").EnumerateArray().Select(bytes => bytes.GetInt64())]);
    }

    /// <summary>The launcher of this build: bench/bin/CONFIGURATION/net10.0 and launcher/bin/CONFIGURATION/net10.0 lie side by side.</summary>
    public static string Distrun
        => Path.GetFullPath(Path.Combine(
            AppContext.BaseDirectory, "..", "..", "..", "..", "launcher", "bin", ConfigurationName, "net10.0",
            OperatingSystem.IsWindows() ? "distrun.exe" : "distrun"));

    private static string ConfigurationName => new DirectoryInfo(AppContext.BaseDirectory).Parent!.Name;

    private static double Median(IEnumerable<double> values)
    {
        var sorted = values.Order().ToArray();
        return sorted[sorted.Length / 2];
    }

    private sealed record Sample(double LoadSeconds, double PrefillRate, double DecodeRate, long[] PeakMemory);
}
