using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using Distributed.Engine.Checkpoints;
using Distributed.Engine.Diagnosis;
using Distributed.Engine.Kernels;
using Distributed.Engine.Model;

namespace Distributed.Bench;

/// <summary>
/// What a user gets: <c>distrun worker complete</c> on a checkpoint of a public shape, as one rank with all threads and as one rank a core, over shared memory
/// and over gRPC, next to what the machine gives in the same moments. Decoding can be no faster than reading every weight, and the keys and values
/// of all positions so far, once a token; prefilling is held against the peak of float32 multiply-adds. The checkpoint lies in the page cache.
/// </summary>
/// <remarks>All ways of a format run in turns, and a way's share of the first one's speed is taken round by round: the machine is not the same from minute to minute.</remarks>
internal static class EndToEndBench
{
    private const int EosId = 2;
    private const int Prompt = 256;
    private const int Tokens = 64;

    public static int Run(string[] args)
    {
        var options = new BenchOptions(args, "shape", "dtype", "directory", "prompt", "tokens", "rounds", "threads", "distrun", "transport");
        var threads = options.Number("threads", Environment.ProcessorCount);
        Console.WriteLine(
            $"{"",-5} {"",-5} {"ranks x threads",-16} {"load s",7} {"prefill/s",10} {"of peak",8} {"decode/s",9} {"GB/s",6} {"read-sum",9} {"share",6} {"of first",9} {"MiB a rank",11}");
        foreach (var shape in options.Text("shape", "1b,110m").Split(','))
        {
            foreach (var format in options.Text("dtype", "bf16").Split(','))
            {
                Measure(shape, format, threads, options);
            }
        }

        return 0;
    }

    private static void Measure(string shape, string format, int threads, BenchOptions options)
    {
        var directory = options.Text("directory", Path.Combine(Path.GetTempPath(), "distributed-bench"));
        var transports = options.Text("transport", "shm,grpc").Split(',');
        Way[] ways =
        [
            new(1, threads, "auto", BenchCheckpoint.At(directory, shape, 1, format)),
            .. transports.Where(_ => threads > 1).Select(transport => new Way(threads, 1, transport, BenchCheckpoint.At(directory, shape, threads, format))),
        ];
        var rounds = ways.Select(_ => new List<Round>()).ToArray();
        for (var round = 0; round < options.Number("rounds", 5); round++)
        {
            for (var i = 0; i < ways.Length; i++)
            {
                BenchCheckpoint.Warm(ways[i].Folder);
                var before = Limits(threads);
                var sample = Launch(ways[i], options);
                var after = Limits(threads);
                rounds[i].Add(new Round(sample, (before.Bandwidth + after.Bandwidth) / 2, (before.Peak + after.Peak) / 2));
            }
        }

        for (var i = 0; i < ways.Length; i++)
        {
            Report(shape, format, ways[i], rounds[i], rounds[0], options);
        }
    }

    private static void Report(string shape, string format, Way way, List<Round> rounds, List<Round> first, BenchOptions options)
    {
        var model = BenchShape.Named(shape);
        var (prompt, tokens) = (options.Number("prompt", Prompt), options.Number("tokens", Tokens));
        var sizes = new LlamaModelOptions { MaxSequenceLength = prompt + tokens, MaxBatchSize = 1, ThreadCount = 1 };
        var touched = RankMemory.Of(model, BenchCheckpoint.TypeOf(format) ?? TensorType.BFloat16, sizes, worldSize: 1).TokenByteCount(prompt + (tokens / 2));

        // Of the output matrix a prompt needs one row of tokens; attention is left out of the count.
        var operations = 2.0 * (BenchShape.MatrixElementCount(model) - ((long)model.VocabularySize * model.Dimension));
        var decode = Median(rounds.Select(round => round.Sample.DecodeRate));
        Console.WriteLine(string.Create(
            CultureInfo.InvariantCulture,
            $"{shape,-5} {format,-5} {way,-16} {Median(rounds.Select(round => round.Sample.LoadSeconds)),7:F2} " +
            $"{Median(rounds.Select(round => round.Sample.PrefillRate)),10:F0} {Median(rounds.Select(round => round.Sample.PrefillRate * operations / 1e9 / round.Peak)),8:P0} " +
            $"{decode,9:F1} {decode * touched / 1e9,6:F1} {Median(rounds.Select(round => round.Bandwidth)),9:F1} " +
            $"{Median(rounds.Select(round => round.Sample.DecodeRate * touched / 1e9 / round.Bandwidth)),6:P0} " +
            $"{Median(rounds.Zip(first, (round, other) => round.Sample.DecodeRate / other.Sample.DecodeRate)),9:P0} " +
            $"{string.Join(" + ", rounds[0].Sample.PeakMemory.Select(bytes => bytes >> 20)),11}"));
    }

    private static unsafe (double Bandwidth, double Peak) Limits(int threads)
    {
        using var memory = new BenchMemory(1L << 30);
        new Span<byte>(memory.Data, (int)memory.ByteCount).Fill(1);
        using var pool = new ComputePool(threads, "probe");
        return (
            Median(Enumerable.Range(0, 5).Select(_ => ReadBandwidthProbe.Measure(pool, memory.Data, memory.ByteCount))),
            Median(Enumerable.Range(0, 5).Select(_ => MultiplyAddProbe.Measure(pool))));
    }

    private static Sample Launch(Way way, BenchOptions options)
    {
        var promptLength = options.Number("prompt", Prompt);
        var tokenCount = options.Number("tokens", Tokens);
        var start = new ProcessStartInfo(options.Text("distrun", Distrun)) { RedirectStandardOutput = true };
        string[] arguments =
        [
            "--nproc-per-node", $"{way.Ranks}", "worker", "complete", "--model", way.Folder,
            "--tokenizer-path", Path.Combine(way.Folder, "tokenizer.model"), "--threads", $"{way.Threads}", "--transport", way.Transport, "--format", "json",
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

    private sealed record Way(int Ranks, int Threads, string Transport, string Folder)
    {
        public override string ToString() => $"{Ranks} x {Threads}{(Ranks > 1 ? $" {Transport}" : "")}";
    }

    private sealed record Sample(double LoadSeconds, double PrefillRate, double DecodeRate, long[] PeakMemory);

    private sealed record Round(Sample Sample, double Bandwidth, double Peak);
}
