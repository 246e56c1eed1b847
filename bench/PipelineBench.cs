using System.Diagnostics;
using Distributed.Collectives;
using Distributed.Engine.Kernels;
using Distributed.Engine.Model;
using Distributed.Engine.Parallel;

namespace Distributed.Bench;

/// <summary>
/// What micro-batches give: <c>pipeline [--shape 110m] [--type bf16] [--stages 2] [--threads 1] [--prompt 512] [--parts N] [--rounds 9]</c> prefills a prompt on stages that are
/// threads of this process, whole and cut into parts, in turns, and prints the ratio. It needs as many idle cores as stages x threads.
/// </summary>
internal static class PipelineBench
{
    public static int Run(string[] args)
    {
        var options = new BenchOptions(args, "shape", "type", "stages", "threads", "prompt", "parts", "rounds");
        var stages = options.Number("stages", 2);
        var prompt = options.Number("prompt", 512);
        var rounds = options.Number("rounds", 9);
        using var weights = new BenchModel(options.Text("shape", "110m"), options.Text("type", "bf16"));
        var settings = new LlamaModelOptions
        {
            MaxSequenceLength = prompt,
            MaxBatchSize = 1,
            ThreadCount = options.Number("threads", 1),
            MaxTokensPerStep = prompt,
            Mesh = ModelMesh.OneRankAStage(stages),
        };
        using var whole = new StagesOfThreads(weights, settings with { MicroBatchCount = 1 });
        using var parts = new StagesOfThreads(weights, settings with { MicroBatchCount = options.Has("parts") ? options.Number("parts", 8) : null });
        var command = new StepCommand();
        for (var position = 0; position < prompt; position++)
        {
            command.AddToken(position % weights.Config.VocabularySize, 0, position);
        }

        command.AddOutput(prompt - 1);
        var samples = new List<(double Whole, double Parts)>();
        for (var round = 0; round <= rounds; round++)
        {
            var sample = (whole.Time(command), parts.Time(command));
            if (round > 0)
            {
                samples.Add(sample); // the first one touches the memory
            }
        }

        var ratios = samples.Select(sample => sample.Whole / sample.Parts).Order().ToArray();
        Console.WriteLine(
            $"prefill of {prompt} on {stages} stages x {settings.ThreadCount} thread(s): whole {prompt / Median(samples.Select(sample => sample.Whole)):F0} tokens/s, "
            + $"in parts {prompt / Median(samples.Select(sample => sample.Parts)):F0} tokens/s: {ratios[ratios.Length / 2]:F2} x (from {ratios[0]:F2} to {ratios[^1]:F2})");
        return 0;
    }

    private static double Median(IEnumerable<double> values)
    {
        var sorted = values.Order().ToArray();
        return sorted[sorted.Length / 2];
    }

    private sealed class StagesOfThreads : IDisposable
    {
        private readonly ProcessGroup[] _groups;
        private readonly LlamaModel[] _models;
        private readonly Thread[] _followers;
        private readonly LeaderLoop _leader;

        public StagesOfThreads(BenchModel weights, LlamaModelOptions options)
        {
            _groups = InMemoryWorld.Create(options.Mesh!.WorldSize);
            _models = [.. _groups.Select(group => LlamaModel.Create(weights.Config, weights.Tensor, group, options, KernelSet.Best))];
            _followers = [.. _models.Zip(_groups).Skip(1).Select(rank => new Thread(() => new FollowerLoop(rank.First, rank.Second).Run()) { IsBackground = true })];
            Array.ForEach(_followers, follower => follower.Start());
            _leader = new LeaderLoop(_models[0], _groups[0]);
        }

        public double Time(StepCommand command)
        {
            var start = Stopwatch.GetTimestamp();
            _leader.Run(command);
            return Stopwatch.GetElapsedTime(start).TotalSeconds;
        }

        public void Dispose()
        {
            _leader.Stop();
            Array.ForEach(_followers, follower => follower.Join());
            Array.ForEach(_models, model => model.Dispose());
            Array.ForEach(_groups, group => group.Dispose());
        }
    }
}
