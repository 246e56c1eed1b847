using System.Diagnostics;
using Distributed.Collectives;
using Distributed.Collectives.Hosting;
using Distributed.Engine.Diagnosis;
using Distributed.Engine.Kernels;
using Distributed.Engine.Model;
using Distributed.Engine.Parallel;
using Distributed.Engine.Weights;

namespace Distributed.Bench;

/// <summary>
/// Decode and prefill of one rank, in this process, next to the machine's limits measured in the same moments: every round takes a read-sum
/// and decodes, or takes the peak of multiply-adds and prefills, so that what else the machine does weighs on both.
/// </summary>
internal static unsafe class EngineBench
{
    public static int Run(string[] args)
    {
        var options = new BenchOptions(args, "shape", "type", "threads", "batch", "prompt", "rounds", "steps", "position", "kernels", "bind", "weights", "precision");
        var threads = options.Number("threads", Environment.ProcessorCount);
        var batch = options.Number("batch", 1);
        var promptLength = options.Number("prompt", 256);
        var rounds = options.Number("rounds", 9);
        var stepsPerRound = options.Number("steps", 8);
        var position = options.Number("position", 0);
        var kernels = KernelSet.Supported.FirstOrDefault(set => set.Name == options.Text("kernels", set.Name))
            ?? throw new ArgumentException($"--kernels is not one of {string.Join(", ", KernelSet.Supported.Select(set => set.Name))}.");
        var precision = options.Precision();
        using var weights = new BenchModel(options.Text("shape", "1b"), options.Text("type", "bf16"));
        using var group = new SingleProcessGroup();
        using var model = LlamaModel.Create(
            weights.Config,
            weights.Tensor,
            group,
            new LlamaModelOptions
            {
                MaxSequenceLength = Math.Max(promptLength, position + (stepsPerRound * (rounds + 1)) + 1),
                MaxBatchSize = batch,
                ThreadCount = threads,
                MaxTokensPerStep = Math.Max(512, Math.Max(promptLength, batch)),
                FirstProcessor = options.Number("bind", 0) == 0 ? null : 0,
                WeightFormat = Enum.Parse<WeightFormat>(options.Text("weights", "Stored"), ignoreCase: true),
                MatmulPrecision = precision,
            },
            kernels);
        using var probes = new ComputePool(threads, "probe", options.Number("bind", 0) == 0 ? null : 0);
        if (options.Number("bind", 0) != 0)
        {
            ProcessorBinding.TryBind(0);
        }

        var leader = new LeaderLoop(model, group);
        Console.WriteLine(
            $"{options.Text("shape", "1b")} {options.Text("type", "bf16")} {options.Text("weights", "")}, {threads} thread(s), {kernels.Name}, {PeakProbe.Name(precision, kernels)}, " +
            $"{model.MatrixByteCount / 1e9:F2} GB a token");
        Decode(leader, weights, model.MatrixByteCount, probes, precision, batch, position, rounds, stepsPerRound);
        if (promptLength > 0)
        {
            Prefill(leader, weights, probes, precision, promptLength, rounds);
        }

        return 0;
    }

    private static void Decode(
        LeaderLoop leader,
        BenchModel weights,
        long touchedByteCount,
        ComputePool probes,
        MatmulPrecision precision,
        int batch,
        int firstPosition,
        int rounds,
        int stepsPerRound)
    {
        var command = new StepCommand();
        for (var position = 0; position < firstPosition; position += 256)
        {
            for (var slot = 0; slot < batch; slot++)
            {
                command.Clear();
                for (var p = position; p < Math.Min(firstPosition, position + 256); p++)
                {
                    command.AddToken(p % weights.Config.VocabularySize, slot, p);
                }

                leader.Run(command);
            }
        }

        var samples = new List<(double Bandwidth, double Peak, double Seconds)>();
        var next = firstPosition;
        for (var round = 0; round <= rounds; round++)
        {
            var before = ReadBandwidthProbe.Measure(probes, weights.Data, weights.TouchedByteCount);
            var peak = PeakProbe.Measure(probes, precision);
            var start = Stopwatch.GetTimestamp();
            for (var step = 0; step < stepsPerRound; step++, next++)
            {
                command.Clear();
                for (var slot = 0; slot < batch; slot++)
                {
                    command.AddToken((next + slot) % weights.Config.VocabularySize, slot, next);
                    command.AddOutput(slot);
                }

                leader.Run(command);
            }

            var seconds = Stopwatch.GetElapsedTime(start).TotalSeconds / stepsPerRound;
            var after = ReadBandwidthProbe.Measure(probes, weights.Data, weights.TouchedByteCount);
            if (round > 0)
            {
                samples.Add(((before + after) / 2, peak, seconds));
            }
        }

        var tokens = Median(samples.Select(sample => batch / sample.Seconds));
        var bandwidth = Median(samples.Select(sample => sample.Bandwidth));
        var share = Median(samples.Select(sample => touchedByteCount / sample.Seconds / 1e9 / sample.Bandwidth));
        var arithmetic = Median(samples.Select(sample => 2.0 * weights.MatrixElementCount * batch / sample.Seconds / 1e9 / sample.Peak));
        Console.WriteLine(
            $"decode, batch {batch}, from position {firstPosition}: {tokens:F1} tokens/s, {tokens / batch * touchedByteCount / 1e9:F1} GB/s, " +
            $"read-sum {bandwidth:F1} GB/s: {share:P0}; {arithmetic:P0} of the peak");
    }

    private static void Prefill(LeaderLoop leader, BenchModel weights, ComputePool probes, MatmulPrecision precision, int promptLength, int rounds)
    {
        var command = new StepCommand();
        for (var position = 0; position < promptLength; position++)
        {
            command.AddToken(position % weights.Config.VocabularySize, 0, position);
        }

        command.AddOutput(promptLength - 1);
        var samples = new List<(double Peak, double Seconds)>();
        for (var round = 0; round <= rounds; round++)
        {
            var before = PeakProbe.Measure(probes, precision);
            var start = Stopwatch.GetTimestamp();
            leader.Run(command);
            var seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
            var after = PeakProbe.Measure(probes, precision);
            if (round > 0)
            {
                samples.Add(((before + after) / 2, seconds));
            }
        }

        // Of the output matrix one row of tokens is needed; attention is left out of the count.
        var flops = 2.0 * ((weights.MatrixElementCount - ((long)weights.Config.VocabularySize * weights.Config.Dimension)) * promptLength);
        var tokens = Median(samples.Select(sample => promptLength / sample.Seconds));
        var share = Median(samples.Select(sample => flops / sample.Seconds / 1e9 / sample.Peak));
        Console.WriteLine(
            $"prefill of {promptLength}: {tokens:F0} tokens/s, {tokens / promptLength * flops / 1e9:F0} GFLOP/s, " +
            $"peak {Median(samples.Select(sample => sample.Peak)):F0} GFLOP/s: {share:P0}");
    }

    private static double Median(IEnumerable<double> values)
    {
        var sorted = values.Order().ToArray();
        return sorted[sorted.Length / 2];
    }
}
