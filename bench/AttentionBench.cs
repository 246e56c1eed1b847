using System.Diagnostics;
using System.Globalization;
using Distributed.Collectives;
using Distributed.Engine.Diagnosis;
using Distributed.Engine.Kernels;
using Distributed.Engine.Model;
using Distributed.Engine.Parallel;

namespace Distributed.Bench;

/// <summary>
/// What a long cache costs: one sequence is decoded at an early and at a late position in turns, and the growth of the time is put beside the growth of the
/// bytes that a step touches, weights, keys and values. 1.00 is attention at the speed at which weights are read. Each format of the cache runs in the same rounds.
/// </summary>
internal static unsafe class AttentionBench
{
    public static int Run(string[] args)
    {
        var options = new BenchOptions(args, "shape", "type", "threads", "near", "far", "rounds", "steps", "kernels");
        var (near, far) = (options.Number("near", 100), options.Number("far", 4000));
        var (rounds, steps) = (options.Number("rounds", 9), options.Number("steps", 4));
        var threads = options.Number("threads", Environment.ProcessorCount);
        var kernels = KernelSet.Supported.FirstOrDefault(set => set.Name == options.Text("kernels", set.Name))
            ?? throw new ArgumentException($"--kernels is not one of {string.Join(", ", KernelSet.Supported.Select(set => set.Name))}.");
        Console.WriteLine($"{options.Text("shape", "110m")} {options.Text("type", "bf16")}, {threads} thread(s), {kernels.Name}, positions {near} and {far}");
        using var probes = new ComputePool(threads, "probe");
        foreach (var format in Enum.GetValues<CacheFormat>())
        {
            using var weights = new BenchModel(options.Text("shape", "110m"), options.Text("type", "bf16"));
            using var group = new SingleProcessGroup();
            var sizes = new LlamaModelOptions
            {
                MaxSequenceLength = far + (steps * (rounds + 1)),
                MaxBatchSize = 2,
                ThreadCount = threads,
                CacheFormat = format,
            };
            using var model = LlamaModel.Create(weights.Config, weights.Tensor, group, sizes, kernels);
            var leader = new LeaderLoop(model, group);
            Fill(leader, weights, slot: 0, near);
            Fill(leader, weights, slot: 1, far);
            var memory = RankMemory.Of(weights.Config, weights.Type, sizes, worldSize: 1);
            var samples = new List<(double Near, double Far, double Bandwidth)>();
            for (var round = 0; round <= rounds; round++)
            {
                var bandwidth = ReadBandwidthProbe.Measure(probes, weights.Data, weights.TouchedByteCount);
                var early = Decode(leader, weights, 0, near + (round * steps), steps);
                var late = Decode(leader, weights, 1, far + (round * steps), steps);
                if (round > 0)
                {
                    samples.Add((early, late, bandwidth));
                }
            }

            Report(format, samples, memory.TokenByteCount(near), memory.TokenByteCount(far));
        }

        return 0;
    }

    private static void Fill(LeaderLoop leader, BenchModel weights, int slot, int count)
    {
        const int ChunkLength = 256;
        var command = new StepCommand();
        for (var start = 0; start < count; start += ChunkLength)
        {
            command.Clear();
            for (var position = start; position < Math.Min(count, start + ChunkLength); position++)
            {
                command.AddToken(position % weights.Config.VocabularySize, slot, position);
            }

            leader.Run(command);
        }
    }

    // Seconds a token.
    private static double Decode(LeaderLoop leader, BenchModel weights, int slot, int position, int steps)
    {
        var command = new StepCommand();
        var start = Stopwatch.GetTimestamp();
        for (var step = 0; step < steps; step++)
        {
            command.Clear();
            command.AddToken((position + step) % weights.Config.VocabularySize, slot, position + step);
            command.AddOutput(0);
            leader.Run(command);
        }

        return Stopwatch.GetElapsedTime(start).TotalSeconds / steps;
    }

    private static void Report(CacheFormat format, List<(double Near, double Far, double Bandwidth)> samples, long nearByteCount, long farByteCount)
    {
        var growth = (double)farByteCount / nearByteCount;
        var ratio = Median(samples.Select(sample => sample.Far / sample.Near));
        var extra = Median(samples.Select(sample => (farByteCount - nearByteCount) / (sample.Far - sample.Near) / 1e9));
        Console.WriteLine(string.Create(
            CultureInfo.InvariantCulture,
            $"{format,-8} near {1e3 * Median(samples.Select(sample => sample.Near)):F2} ms, far {1e3 * Median(samples.Select(sample => sample.Far)):F2} ms: time x {ratio:F2}, "
            + $"bytes x {growth:F2}, time over bytes {ratio / growth:F2} | keys and values {extra:F1} GB/s, weights {Median(samples.Select(sample => nearByteCount / sample.Near / 1e9)):F1} GB/s, "
            + $"read-sum {Median(samples.Select(sample => sample.Bandwidth)):F1} GB/s"));
    }

    private static double Median(IEnumerable<double> values)
    {
        var sorted = values.Order().ToArray();
        return sorted[sorted.Length / 2];
    }
}
