using Distributed.Engine.Diagnosis;
using Distributed.Engine.Kernels;

namespace Distributed.Bench;

/// <summary>
/// The machine's read bandwidth: the sum of a block far larger than its caches. Decoding can never be faster than this bandwidth over the
/// bytes that a token touches.
/// </summary>
internal static unsafe class ReadBandwidth
{
    public static int Run(string[] args)
    {
        var options = new BenchOptions(args, "threads", "megabytes", "rounds");
        var maxThreads = options.Number("threads", Environment.ProcessorCount);
        using var memory = new BenchMemory((long)options.Number("megabytes", 1024) << 20);
        new Span<byte>(memory.Data, (int)Math.Min(int.MaxValue, memory.ByteCount)).Fill(1);
        for (var threads = 1; threads <= maxThreads; threads *= 2)
        {
            using var pool = new ComputePool(threads);
            var rounds = Enumerable.Range(0, options.Number("rounds", 9))
                .Select(_ => ReadBandwidthProbe.Measure(pool, memory.Data, memory.ByteCount))
                .Order()
                .ToArray();
            Console.WriteLine($"{threads} thread(s): {rounds[rounds.Length / 2]:F1} GB/s [{rounds[0]:F1}..{rounds[^1]:F1}]");
        }

        return 0;
    }
}
