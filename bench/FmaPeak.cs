using Distributed.Engine.Diagnosis;
using Distributed.Engine.Kernels;

namespace Distributed.Bench;

/// <summary>The machine's float32 multiply-add rate, out of registers alone: prefilling can never be faster.</summary>
internal static class FmaPeak
{
    public static int Run(string[] args)
    {
        var options = new BenchOptions(args, "threads", "rounds");
        var maxThreads = options.Number("threads", Environment.ProcessorCount);
        for (var threads = 1; threads <= maxThreads; threads *= 2)
        {
            using var pool = new ComputePool(threads);
            var rounds = Enumerable.Range(0, options.Number("rounds", 9)).Select(_ => MultiplyAddProbe.Measure(pool)).Order().ToArray();
            Console.WriteLine($"{threads} thread(s): {rounds[rounds.Length / 2]:F0} GFLOP/s [{rounds[0]:F0}..{rounds[^1]:F0}]");
        }

        return 0;
    }
}
