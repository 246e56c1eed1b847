using Distributed.Collectives;
using Distributed.Engine.Kernels;
using Distributed.Engine.Model;
using Distributed.Engine.Serving;

namespace Distributed.Bench;

/// <summary>
/// Many streams against one, through the scheduler, in this process: one and many take turns, so that what else the machine does weighs on both. Beside it
/// the steps that a short prompt waits for its first token while all others decode, and the scheduler's own share of the time.
/// </summary>
internal static class ServeBench
{
    private const int PromptLength = 16;

    public static int Run(string[] args)
    {
        var options = new BenchOptions(
            args, "shape", "type", "threads", "streams", "tokens", "rounds", "prefill", "position", "temperature-percent", "top-p-percent", "precision");
        var streams = options.Number("streams", 16);
        var tokens = options.Number("tokens", 48);
        var rounds = options.Number("rounds", 5);
        var prefill = options.Number("prefill", new SchedulerOptions().MaxPrefillTokensPerStep);
        var position = options.Number("position", PromptLength);
        var template = new InferenceRequest
        {
            Prompt = [1],
            MaxTokens = tokens,
            Temperature = options.Number("temperature-percent", 0) / 100f,
            TopP = options.Number("top-p-percent", 100) / 100f,
            StopTokenIds = [],
        };
        using var weights = new BenchModel(options.Text("shape", "110m"), options.Text("type", "bf16"));
        using var group = new SingleProcessGroup();
        using var model = LlamaModel.Create(
            weights.Config,
            weights.Tensor,
            group,
            new LlamaModelOptions
            {
                MaxSequenceLength = position + PromptLength + tokens,
                MaxBatchSize = streams,
                ThreadCount = options.Number("threads", Environment.ProcessorCount),
                MatmulPrecision = options.Precision(),
            },
            KernelSet.Best);
        var scheduler = new InferenceScheduler(
            model, new LeaderLoop(model, group), [], new SchedulerOptions { MaxPrefillTokensPerStep = prefill, MaxQueuedTokens = long.MaxValue });
        var loop = Task.Factory.StartNew(scheduler.Run, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        var samples = new List<(double One, double Many, double Share, long Steps)>();
        var seed = 0;
        for (var round = 0; round <= rounds; round++)
        {
            var one = Measure(1).TokensPerSecond;
            var (many, share, steps) = Measure(streams);
            if (round > 0)
            {
                samples.Add((one, many, share, steps));
            }
        }

        scheduler.Drain(TimeSpan.Zero);
        loop.Wait();
        Console.WriteLine(
            $"1 stream {Median(samples.Select(sample => sample.One)):F1} tokens/s, {streams} streams {Median(samples.Select(sample => sample.Many)):F1}: "
            + $"ratio {Median(samples.Select(sample => sample.Many / sample.One)):F2}");
        Console.WriteLine(
            $"first token of a prompt of {PromptLength} beside {streams - 1} streams: {Median(samples.Select(sample => (double)sample.Steps)):F0} steps; "
            + $"the scheduler's share of the time: {Median(samples.Select(sample => sample.Share)):P2}");
        return 0;

        // Tokens of all streams a second while all of them decode.
        (double TokensPerSecond, double Share, long FirstTokenSteps) Measure(int count)
        {
            var calls = Enumerable.Range(0, Math.Max(1, count - 1)).Select(_ => scheduler.Submit(Request(position))).ToList();
            var readers = calls.Select(call => Task.Run(() => ReadAsync(call))).ToList();
            Wait(() => scheduler.Snapshot() is var state && state.RunningRequests == calls.Count && state.WaitingRequests == 0);
            var (started, firstTokenSteps) = (scheduler.Snapshot(), 0L);
            if (count > 1)
            {
                // The last stream comes while the others decode.
                Wait(() => scheduler.Snapshot().GeneratedTokens >= started.GeneratedTokens + count);
                var before = scheduler.Snapshot().Steps;
                var last = scheduler.Submit(Request(PromptLength));
                var first = new TaskCompletionSource<long>(TaskCreationOptions.RunContinuationsAsynchronously);
                readers.Add(Task.Run(() => ReadAsync(last, () => first.TrySetResult(scheduler.Snapshot().Steps))));
                firstTokenSteps = first.Task.GetAwaiter().GetResult() - before;
            }

            var begun = scheduler.Snapshot();
            Task.WaitAny([.. readers]);
            var ended = scheduler.Snapshot();
            Task.WaitAll([.. readers]);
            var modelTime = ended.StepTime - begun.StepTime;
            var schedulingTime = ended.SchedulingTime - begun.SchedulingTime;
            return (
                (ended.GeneratedTokens - begun.GeneratedTokens) / (modelTime + schedulingTime).TotalSeconds,
                schedulingTime / (modelTime + schedulingTime),
                firstTokenSteps);
        }

        InferenceRequest Request(int length)
        {
            var random = new Random(++seed);
            return template with { Prompt = [.. Enumerable.Range(0, length).Select(_ => random.Next(weights.Config.VocabularySize))], Seed = seed };
        }
    }

    private static async Task ReadAsync(InferenceCall call, Action? onFirst = null)
    {
        await foreach (var news in call.ReadAllAsync())
        {
            if (news.FinishReason is null)
            {
                onFirst?.Invoke();
                onFirst = null;
            }
        }
    }

    private static void Wait(Func<bool> condition)
    {
        while (!condition())
        {
            Thread.Sleep(1);
        }
    }

    private static double Median(IEnumerable<double> values)
    {
        var sorted = values.Order().ToArray();
        return sorted[sorted.Length / 2];
    }
}
