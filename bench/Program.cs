using Distributed.Bench;

var benchmarks = new SortedDictionary<string, Func<string[], int>>(StringComparer.Ordinal)
{
    ["all-reduce"] = AllReduceBench.Run,
    ["all-reduce-cost"] = AllReduceCost.Run,
    ["attention"] = AttentionBench.Run,
    ["choice"] = ChoiceBench.Run,
    ["end-to-end"] = EndToEndBench.Run,
    ["engine"] = EngineBench.Run,
    ["fma-peak"] = FmaPeak.Run,
    ["gpu"] = GpuBench.Run,
    ["join"] = JoinBench.Run,
    ["load"] = LoadBench.Run,
    ["perplexity"] = PerplexityBench.Run,
    ["pipeline"] = PipelineBench.Run,
    ["serve"] = ServeBench.Run,
    ["products"] = ProductsBench.Run,
    ["read-bandwidth"] = ReadBandwidth.Run,
};

try
{
    if (args.Length > 0 && benchmarks.TryGetValue(args[0], out var run))
    {
        return run(args[1..]);
    }

    Console.Error.WriteLine($"Usage: bench NAME [options], NAME one of {string.Join(", ", benchmarks.Keys)}.");
}
catch (ArgumentException mistake)
{
    Console.Error.WriteLine(mistake.Message);
}

return 2;
