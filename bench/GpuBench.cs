using System.Diagnostics;
using System.Globalization;
using Distributed.Collectives;
using Distributed.Engine.Kernels;
using Distributed.Engine.Model;
using Distributed.Engine.Parallel;

namespace Distributed.Bench;

/// <summary>
/// Decode and prefill of the torch backend on one rank, next to how fast its device reads memory, measured in the same minutes; on the processor also next
/// to the managed backend. Needs a build with -p:Torch=....
/// </summary>
internal static class GpuBench
{
    public static int Run(string[] args)
    {
        var options = new BenchOptions(args, "shape", "type", "device", "threads", "prompt", "rounds", "steps", "batch");
        if (TorchSupport.FindProblem() is { } problem)
        {
            throw new ArgumentException(problem);
        }

        var device = options.Text("device", "cuda") == "cuda" ? TorchDeviceKind.Cuda : TorchDeviceKind.Cpu;
        using var weights = new BenchModel(options.Text("shape", "1b"), options.Text("type", "bf16"));
        try
        {
            foreach (var precision in new[] { TorchPrecision.Medium, TorchPrecision.High })
            {
                Measure(weights, options, new TorchOptions { Device = device, Precision = precision });
            }
        }
        catch (BackendException exception)
        {
            throw new ArgumentException(exception.Message, exception);
        }

        if (device == TorchDeviceKind.Cpu)
        {
            Measure(weights, options, torch: null);
        }

        return 0;
    }

    private static void Measure(BenchModel weights, BenchOptions options, TorchOptions? torch)
    {
        var (batch, steps, prompt) = (options.Number("batch", 1), options.Number("steps", 32), options.Number("prompt", 256));
        var threads = options.Number("threads", Environment.ProcessorCount);
        using var group = new SingleProcessGroup();
        using var model = LlamaModel.Create(
            weights.Config,
            weights.Tensor,
            group,
            new LlamaModelOptions
            {
                MaxSequenceLength = Math.Max(prompt, steps * (options.Number("rounds", 5) + 1)),
                MaxBatchSize = batch,
                ThreadCount = threads,
                MaxTokensPerStep = Math.Max(512, Math.Max(prompt, batch)),
                Torch = torch,
            },
            KernelSet.Best);
        var leader = new LeaderLoop(model, group);
        var command = new StepCommand();
        var (decode, prefill, bandwidth) = (new List<double>(), new List<double>(), new List<double>());
        for (var round = 0; round <= options.Number("rounds", 5); round++)
        {
            var start = Stopwatch.GetTimestamp();
            for (var step = 0; step < steps; step++)
            {
                command.Clear();
                for (var slot = 0; slot < batch; slot++)
                {
                    command.AddToken((step + slot) % weights.Config.VocabularySize, slot, (round * steps) + step);
                    command.AddOutput(slot);
                }

                leader.Run(command);
            }

            var decoded = batch * steps / Stopwatch.GetElapsedTime(start).TotalSeconds;
            bandwidth.Add(torch is null ? 0 : TorchSupport.MeasureReadBandwidth(torch, threads));
            if (round > 0)
            {
                decode.Add(decoded);
            }
        }

        for (var slot = 0; slot < batch; slot++)
        {
            leader.Cache.Release(slot);
        }

        for (var round = 0; round <= options.Number("rounds", 5); round++)
        {
            command.Clear();
            for (var position = 0; position < prompt; position++)
            {
                command.AddToken(position % weights.Config.VocabularySize, 0, position);
            }

            command.AddOutput(prompt - 1);
            var start = Stopwatch.GetTimestamp();
            leader.Run(command);
            if (round > 0)
            {
                prefill.Add(prompt / Stopwatch.GetElapsedTime(start).TotalSeconds);
            }

            leader.Cache.Release(0);
        }

        var read = Median(decode) / batch * model.MatrixByteCount / 1e9;
        var share = torch is null ? "" : $" of {Median(bandwidth):F0} that the device reads: {read / Median(bandwidth):P0}";
        Console.WriteLine(string.Create(
            CultureInfo.InvariantCulture,
            $"{model.InstructionSet} {torch?.Precision.ToString().ToLowerInvariant()}: decode, batch {batch}: {Median(decode):F1} tokens/s, " +
            $"weights at {read:F1} GB/s{share}; prefill of {prompt}: {Median(prefill):F0} tokens/s"));
    }

    private static double Median(List<double> values)
    {
        values.Sort();
        return values[values.Count / 2];
    }
}
