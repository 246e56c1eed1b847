using System.Diagnostics;
using System.Globalization;

namespace Distributed.Bench;

/// <summary>
/// What an all-reduce costs in worlds that nobody has at hand: <c>all-reduce-cost [--ranks 64,512,4096] [--per-host 8] [--cores N] [--sizes BYTES,...]
/// [--latency US] [--gigabytes N] [--overhead US] [--local-latency US] [--local-gigabytes N] [--local-overhead US] [--reduce-gigabytes N] [--switch US]
/// [--memory-gigabytes N] [--near SHARE]</c> simulates each algorithm; latencies and overheads are in microseconds, rates in gigabytes a second, and those with "local" are inside a host.
/// <c>--check shm|grpc</c> measures worlds of 2, 4 and 8 ranks of this host instead, fits the link to those of 2, and what ranks without a core of their own cost
/// (<c>--switch</c>, <c>--memory-gigabytes</c>, <c>--near</c>) to the shortest and the longest of those of 4; the others are beside what the simulation says.
/// </summary>
internal static class AllReduceCost
{
    private const double Giga = 1e9;
    private const double Micro = 1e-6;
    private const int ChunkedMinByteCount = 128 << 10; // ChunkedAllReduce.MinByteCount

    public static int Run(string[] args)
    {
        var options = new BenchOptions(
            args, "ranks", "per-host", "cores", "sizes", "latency", "gigabytes", "overhead", "local-latency", "local-gigabytes", "local-overhead", "reduce-gigabytes", "switch", "memory-gigabytes", "near", "check", "rounds");
        return options.Has("check") ? Check(options) : Predict(options);
    }

    private static int Predict(BenchOptions options)
    {
        // Inside: shared memory as measured here. Between: a network of 10 Gbit/s, and gRPC's work for a message.
        var inside = new CostLink(options.Quantity("local-latency", 0.3) * Micro, options.Quantity("local-overhead", 0.1) * Micro, options.Quantity("local-gigabytes", 8) * Giga);
        var between = new CostLink(options.Quantity("latency", 30) * Micro, options.Quantity("overhead", 20) * Micro, options.Quantity("gigabytes", 1.25) * Giga);
        var perHost = options.Quantity("per-host", 8);
        if (perHost != Math.Floor(perHost) || perHost > 4096 || double.Log2(perHost) % 1 != 0)
        {
            throw new ArgumentException($"--per-host {perHost} is not a power of two up to 4096; the ranks of a host are a subtree then.");
        }

        Console.WriteLine($"{"ranks",6} {"bytes",10} {"one-shot",12} {"chunked",12} {"inside first",12}  µs, {perHost} ranks a host");
        foreach (var rankCount in options.Numbers("ranks", "64,512,4096"))
        {
            if (rankCount > 16384)
            {
                throw new ArgumentException($"--ranks {rankCount} is above 16384: every pair of ranks is walked.");
            }

            foreach (var byteCount in options.Numbers("sizes", "8192,1048576,16777216"))
            {
                var times = Algorithms.Select(algorithm =>
                {
                    var shared = new CostHost(
                        (int)options.Quantity("cores", perHost), options.Quantity("switch", 2) * Micro, options.Quantity("memory-gigabytes", double.MaxValue / Giga) * Giga, Near: options.Has("near") ? Math.Min(1, options.Quantity("near", 1)) : 0);
                    var model = new CostModel(rankCount, (int)perHost, shared, inside, between, options.Quantity("reduce-gigabytes", 10) * Giga);
                    algorithm(model, byteCount);
                    return (model.Elapsed / Micro).ToString("F1", CultureInfo.InvariantCulture);
                }).ToArray();
                Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{rankCount,6} {byteCount,10} {times[0],12} {times[1],12} {times[2],12}"));
            }
        }

        return 0;
    }

    private static readonly Action<CostModel, double>[] Algorithms = [OneShot, Chunked, InsideFirst];

    private static void OneShot(CostModel model, double byteCount)
    {
        int[] all = [.. Enumerable.Range(0, model.RankCount)];
        model.Exchange(all, byteCount);
        Array.ForEach(all, rank => model.Reduce(rank, (all.Length - 1) * byteCount));
        model.EndPhase();
    }

    private static void Chunked(CostModel model, double byteCount)
    {
        int[] all = [.. Enumerable.Range(0, model.RankCount)];
        Chunked(model, all, byteCount);
    }

    private static void Chunked(CostModel model, int[] ranks, double byteCount)
    {
        model.Exchange(ranks, byteCount / ranks.Length);
        Array.ForEach(ranks, rank => model.Reduce(rank, (ranks.Length - 1) * byteCount / ranks.Length));
        model.EndPhase();
        model.Exchange(ranks, byteCount / ranks.Length);
        model.EndPhase();
    }

    // HierarchicalAllReduce, where each host is one unit of the tree.
    private static void InsideFirst(CostModel model, double byteCount)
    {
        int[] leaders = [.. Enumerable.Range(0, model.HostCount).Select(host => model.RanksOf(host).First())];
        foreach (var leader in leaders)
        {
            foreach (var rank in Others(leader))
            {
                model.Send(rank, leader, byteCount);
                model.Reduce(leader, byteCount);
            }
        }

        model.EndPhase();
        if (leaders.Length > 2 && byteCount >= ChunkedMinByteCount)
        {
            Chunked(model, leaders, byteCount);
        }
        else
        {
            model.Exchange(leaders, byteCount);
            Array.ForEach(leaders, leader => model.Reduce(leader, (leaders.Length - 1) * byteCount));
            model.EndPhase();
        }

        foreach (var leader in leaders)
        {
            foreach (var rank in Others(leader))
            {
                model.Send(leader, rank, byteCount);
            }
        }

        model.EndPhase();

        IEnumerable<int> Others(int leader) => model.RanksOf(Array.IndexOf(leaders, leader)).Skip(1);
    }

    // Of a link of this host: the work of a message and of a byte, from worlds of two, where there is a core for each rank.
    private static int Check(BenchOptions options)
    {
        var transport = options.Text("check", "");
        if (transport is not ("shm" or "grpc"))
        {
            throw new ArgumentException($"--check {transport} is neither shm nor grpc.");
        }

        var sizes = options.Numbers("sizes", "8192,65536,1048576");
        var rounds = options.Numbers("rounds", "20")[0];
        var ofTwo = Measure(2, sizes, rounds, transport);
        var perByte = (ofTwo[^1] - ofTwo[0]) / (sizes[^1] - sizes[0]);
        var reduction = options.Quantity("reduce-gigabytes", 10) * Giga;
        var copying = perByte - (1 / reduction);
        var perMessage = ofTwo[0] - (sizes[0] * perByte);
        if (copying <= 0 || perMessage <= 0)
        {
            throw new ArgumentException("The measurements do not rise with the length as a link's do; take more --rounds on a quieter machine, or --sizes that are further apart.");
        }

        // Half is waiting for the cache line or the wake-up, the rest the work of the two ends: a guess, which matters where ranks share cores.
        var link = new CostLink(perMessage / 2, perMessage / 4, 1 / copying);
        var ofFour = Measure(4, sizes, rounds, transport);
        var shared = Fit(new CostHost(Environment.ProcessorCount, SwitchesForEach: transport == "grpc"), link, reduction, sizes, ofFour);
        Console.WriteLine(string.Create(
            CultureInfo.InvariantCulture,
            $"{transport}: {perMessage / Micro:F2} µs a message, {link.BytesPerSecond / Giga:F2} GB/s; {Environment.ProcessorCount} cores, {shared.Switch / Micro:F1} µs a switch, {shared.BytesPerSecond / Giga:F1} GB/s of memory, {shared.Near:P0} saved on a core"));
        Console.WriteLine($"{"ranks",6} {"bytes",10} {"measured",12} {"simulated",12} {"ratio",7}  µs");
        foreach (var rankCount in new[] { 2, 4, 8 })
        {
            var measured = rankCount == 2 ? ofTwo : rankCount == 4 ? ofFour : Measure(rankCount, sizes, rounds, transport);
            for (var i = 0; i < sizes.Length; i++)
            {
                var isFitted = rankCount == 2 ? i == 0 || i == sizes.Length - 1 : rankCount == 4 && (i == 0 || i == sizes.Length - 1);
                var elapsed = Simulate(rankCount, shared, link, reduction, sizes[i]).Elapsed;
                Console.WriteLine(string.Create(
                    CultureInfo.InvariantCulture,
                    $"{rankCount,6} {sizes[i],10} {measured[i] / Micro,12:F1} {elapsed / Micro,12:F1} {elapsed / measured[i],7:F2}{(isFitted ? "  fitted" : "")}"));
            }
        }

        return 0;
    }

    // What four ranks cost beside their work: the shortest by giving each a core; the longest more, by their memory, or less, by what stays in the cache of a core.
    private static CostHost Fit(CostHost shared, CostLink link, double reduction, int[] sizes, double[] ofFour)
    {
        var perCore = 4.0 / shared.CoreCount;
        var shortest = Simulate(4, shared, link, reduction, sizes[0]);
        if (perCore > 1 && ofFour[0] > shortest.Elapsed)
        {
            shared = shared with { Switch = (ofFour[0] - shortest.Elapsed) / shortest.PhaseCount / perCore / (shared.SwitchesForEach ? 3 : 1) };
        }

        var longest = Simulate(4, shared, link, reduction, sizes[^1]);
        if (ofFour[^1] > longest.Elapsed)
        {
            return perCore > 1 ? shared with { BytesPerSecond = longest.MovedByteCount / ofFour[^1] } : shared;
        }

        // Halves the interval in which the share lies; the time falls with it.
        var (low, high) = (0.0, 1.0);
        for (var i = 0; i < 30; i++)
        {
            var middle = (low + high) / 2;
            (low, high) = Simulate(4, shared with { Near = middle }, link, reduction, sizes[^1]).Elapsed > ofFour[^1] ? (middle, high) : (low, middle);
        }

        return shared with { Near = high };
    }

    private static CostModel Simulate(int rankCount, CostHost shared, CostLink link, double reduction, int byteCount)
    {
        var model = new CostModel(rankCount, rankCount, shared, link, link, reduction);
        (rankCount == 2 || byteCount < ChunkedMinByteCount ? (Action<CostModel, double>)OneShot : Chunked)(model, byteCount);
        return model;
    }

    // [size]: the median of the best round, seconds; where ranks share cores the time from one call to the next in it, as a rank's call leaves out what others do while it has no core.
    private static double[] Measure(int rankCount, int[] sizes, int rounds, string transport)
    {
        var start = new ProcessStartInfo(Environment.ProcessPath!) { RedirectStandardOutput = true };
        if (Path.GetFileNameWithoutExtension(Environment.ProcessPath) == "dotnet")
        {
            start.ArgumentList.Add(typeof(AllReduceCost).Assembly.Location);
        }

        foreach (var argument in (string[])["all-reduce", "--ranks", $"{rankCount}", "--rounds", $"{rounds}", "--sizes", string.Join(',', sizes), "--transport", transport])
        {
            start.ArgumentList.Add(argument);
        }

        using var process = Process.Start(start)!;
        var lines = process.StandardOutput.ReadToEnd().Split('\n');
        process.WaitForExit();
        return [.. sizes.Select(size => lines
            .Select(line => line.Split(' ', StringSplitOptions.RemoveEmptyEntries))
            .Where(fields => fields.Length > 2 && fields[0] == size.ToString(CultureInfo.InvariantCulture))
            .Select(fields => double.Parse(fields[rankCount > Environment.ProcessorCount ? 5 : 1], CultureInfo.InvariantCulture) * Micro)
            .DefaultIfEmpty(double.NaN).First())];
    }
}
