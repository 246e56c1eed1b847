using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Text;
using Distributed.Collectives;
using Distributed.Collectives.Launching;

namespace Distributed.Bench;

/// <summary>
/// Latency of a float32 all-reduce between processes of this host: <c>all-reduce [--ranks N] [--rounds N] [--sizes BYTES,...]
/// [--transport auto|shm|grpc] [--hosts N] [--wire exact|bf16|int8] [--work MICROSECONDS] [--bind 0|1] [--gloo PYTHON]</c>. Ranks of different hosts, of which the
/// first ranks share the first and so on, are connected by TLS over loopback. Times are rank 0's, per call, back to back or each after some
/// computing, and its processor time; of several rounds the one with the lowest median is printed,
/// and with work the one whose step has the median ratio to the ideal, which is the same work, its median, by turns and without sums. With a python that has torch, gloo
/// is timed in the same run.
/// </summary>
internal static class AllReduceBench
{
    public static int Run(string[] args) => RunAsync(args).GetAwaiter().GetResult();

    private static async Task<int> RunAsync(string[] args)
    {
        var options = new BenchOptions(args, "ranks", "rounds", "sizes", "transport", "work", "bind", "gloo", "hosts", "wire");
        if (Environment.GetEnvironmentVariable("RANK") is not null)
        {
            return await RunRank(options);
        }

        var worldSize = options.Number("ranks", 2);
        var directory = Directory.CreateTempSubdirectory("distrun-").FullName;
        var secret = JobSecret.Create();
        try
        {
            await using var store = await StoreServer.StartAsync(Path.Combine(directory, "store.sock"), "bench", secret);
            var code = await WaitAsync(Enumerable.Range(0, worldSize).Select(rank => Start(args, options, store, directory, secret, rank, worldSize)));
            if (options.Text("gloo", "") is { Length: > 0 } python)
            {
                code = Math.Max(code, await WaitAsync(Enumerable.Range(0, worldSize).Select(rank => StartGloo(python, options, directory, rank, worldSize))));
            }

            return code;
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
    }

    private static async Task<int> WaitAsync(IEnumerable<Process> ranks)
    {
        var processes = ranks.ToArray();
        await Task.WhenAll(processes.Select(rank => rank.WaitForExitAsync()));
        return processes.Max(rank => rank.ExitCode);
    }

    private static Process Start(string[] args, BenchOptions options, StoreServer store, string directory, JobSecret secret, int rank, int worldSize)
    {
        var start = new ProcessStartInfo(Environment.ProcessPath!) { RedirectStandardInput = true };
        if (Path.GetFileNameWithoutExtension(Environment.ProcessPath) == "dotnet")
        {
            start.ArgumentList.Add(typeof(AllReduceBench).Assembly.Location);
        }

        start.ArgumentList.Add("all-reduce");
        foreach (var argument in args)
        {
            start.ArgumentList.Add(argument);
        }

        var localWorldSize = LocalWorldSize(options, worldSize);
        var environment = new RankEnvironment
        {
            Rank = rank,
            LocalRank = rank % localWorldSize,
            WorldSize = worldSize,
            LocalWorldSize = localWorldSize,
            GroupRank = rank / localWorldSize,
            GroupWorldSize = worldSize / localWorldSize,
            StoreAddress = store.Address,
            RuntimeDirectory = directory,
            HasEnvelope = true,
        };
        foreach (var (name, value) in environment.ToVariables())
        {
            start.Environment[name] = value;
        }

        var process = Process.Start(start)!;
        process.StandardInput.BaseStream.Write(new JobEnvelope("bench", secret, 0, rank, Environment.ProcessId).ToLine());
        process.StandardInput.BaseStream.Flush();
        return process;
    }

    private static Process StartGloo(string python, BenchOptions options, string directory, int rank, int worldSize)
    {
        var script = Path.Combine(AppContext.BaseDirectory, "gloo_all_reduce.py");
        var rounds = options.Number("rounds", 30).ToString(CultureInfo.InvariantCulture);
        var start = new ProcessStartInfo(python, [script, Path.Combine(directory, "gloo"), rounds, string.Join(",", Sizes(options))]);
        start.Environment["RANK"] = rank.ToString(CultureInfo.InvariantCulture);
        start.Environment["WORLD_SIZE"] = worldSize.ToString(CultureInfo.InvariantCulture);
        start.Environment["GLOO_SOCKET_IFNAME"] = "lo";
        return Process.Start(start)!;
    }

    private static async Task<int> RunRank(BenchOptions options)
    {
        var envelope = JobEnvelope.Parse(Encoding.UTF8.GetBytes(await Console.In.ReadLineAsync() ?? ""));
        var transport = TransportNames.Parse(options.Text("transport", "auto")) ?? throw new ArgumentException("--transport is auto, shm or grpc.");
        var wire = WireNames.Parse(options.Text("wire", "exact")) ?? throw new ArgumentException("--wire is exact, bf16 or int8.");
        var environment = RankEnvironment.FromProcess();
        using var group = await PeerRendezvous.JoinAsync(environment, envelope, new PeerRendezvousOptions
        {
            Transport = transport,
            Wire = wire,
            HostIdentity = options.Has("hosts") ? $"host {environment.Rank / environment.LocalWorldSize}" : null,
            ListenAddress = IPAddress.Loopback,
        });
        if (group.Rank == 0)
        {
            Console.WriteLine($"{group.TransportDescription}; all-reduce of float32, µs");
            Console.WriteLine($"{"bytes",9} {"p50",9} {"p99",9} {"min",9} {"CPU",9} {"step p50",9} {"mean",9} {"ideal",9} {"allocated bytes",16}");
        }

        // A dedicated thread drives the group, bound as in a worker.
        var work = TimeSpan.FromMicroseconds(options.Number("work", 0));
        var thread = new Thread(() =>
        {
            if (options.Number("bind", 1) != 0)
            {
                RankBinding.TryBind(environment);
            }

            Array.ForEach(Sizes(options), byteCount => Measure(group, byteCount, options.Number("rounds", 30), work));
        });
        thread.Start();
        thread.Join();
        return 0;
    }

    private static int LocalWorldSize(BenchOptions options, int worldSize)
    {
        var hosts = options.Number("hosts", 1);
        return hosts >= 1 && worldSize % hosts == 0
            ? worldSize / hosts
            : throw new ArgumentException($"--hosts {hosts} does not divide {worldSize} ranks.");
    }

    private static int[] Sizes(BenchOptions options)
        => [.. options.Text("sizes", "4,8192,65536,1048576").Split(',').Select(size => int.Parse(size, CultureInfo.InvariantCulture))];

    private static void Measure(ProcessGroup group, int byteCount, int roundCount, TimeSpan work)
    {
        var values = new float[byteCount / sizeof(float)];
        var times = new double[byteCount < 1 << 20 ? 500 : byteCount < 16 << 20 ? 50 : 10];
        var steps = new double[times.Length];
        var rounds = new Round[roundCount];
        for (var round = 0; round < roundCount; round++)
        {
            var ideal = work > TimeSpan.Zero ? IdealStep(group, work, times) : 0;
            group.Barrier();
            var allocated = GC.GetTotalAllocatedBytes();
            var cpu = Environment.CpuUsage.TotalTime;
            var begun = Stopwatch.GetTimestamp();
            for (var i = 0; i < times.Length; i++)
            {
                Compute(work);
                var started = Stopwatch.GetTimestamp();
                group.AllReduce(values);
                times[i] = Stopwatch.GetElapsedTime(started).TotalMicroseconds;
                steps[i] = Stopwatch.GetElapsedTime(begun).TotalMicroseconds;
            }

            cpu = Environment.CpuUsage.TotalTime - cpu;
            allocated = GC.GetTotalAllocatedBytes() - allocated;
            Array.Sort(times);
            rounds[round] = new Round(
                times[times.Length / 2],
                times[times.Length * 99 / 100],
                times[0],
                cpu.TotalMicroseconds / times.Length,
                StepOf(steps),
                ideal,
                allocated / times.Length);
        }

        var shown = work > TimeSpan.Zero
            ? rounds.OrderBy(round => round.Step.P50 / round.Ideal).ElementAt(roundCount / 2)
            : rounds.MinBy(round => round.P50);
        if (group.Rank == 0)
        {
            Console.WriteLine(string.Create(
                CultureInfo.InvariantCulture,
                $"{byteCount,9} {shown.P50,9:F1} {shown.P99,9:F1} {shown.Min,9:F1} {shown.Cpu,9:F1} {shown.Step.P50,9:F1} {shown.Step.Mean,9:F1} {shown.Ideal,9:F1} {shown.AllocatedByteCount,16}"));
        }
    }

    // The step of ranks that wait for nothing: a piece of work takes what it takes while every core computes, and a core has so many of them to do.
    private static double IdealStep(ProcessGroup group, TimeSpan work, double[] times)
    {
        group.Barrier();
        for (var i = 0; i < times.Length; i++)
        {
            var started = Stopwatch.GetTimestamp();
            Compute(work);
            times[i] = Stopwatch.GetElapsedTime(started).TotalMicroseconds;
        }

        group.Barrier();
        Array.Sort(times);
        return times[times.Length / 2] * ((group.WorldSize + Environment.ProcessorCount - 1) / Environment.ProcessorCount);
    }

    // Of the times at which steps ended. Ranks that share a core take turns, so a rank's steps are short and long by turns: the median is of eight at once.
    private static (double P50, double Mean) StepOf(double[] ends)
    {
        const int Window = 8;
        var windows = Enumerable.Range(0, ends.Length - Window).Select(first => (ends[first + Window] - ends[first]) / Window).Order().ToArray();
        return (windows.Length > 0 ? windows[windows.Length / 2] : 0, ends[^1] / ends.Length);
    }

    private readonly record struct Round(
        double P50, double P99, double Min, double Cpu, (double P50, double Mean) Step, double Ideal, long AllocatedByteCount);

    // Busy for a time of this thread's own processor time, so that ranks that share a core do not count each other's.
    private static void Compute(TimeSpan work)
    {
        var passes = (int)(work.TotalMicroseconds * PassesPerMicrosecond.Value);
        for (var i = 0; i < passes; i++)
        {
            Thread.SpinWait(1);
        }
    }

    private static readonly Lazy<double> PassesPerMicrosecond = new(() =>
    {
        var fastest = double.MaxValue;
        for (var round = 0; round < 50; round++)
        {
            var started = Stopwatch.GetTimestamp();
            for (var i = 0; i < 10_000; i++)
            {
                Thread.SpinWait(1);
            }

            fastest = Math.Min(fastest, Stopwatch.GetElapsedTime(started).TotalMicroseconds);
        }

        return 10_000 / fastest;
    });
}
