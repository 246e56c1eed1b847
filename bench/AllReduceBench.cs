using System.Diagnostics;
using System.Globalization;
using Distributed.Collectives;
using Distributed.Collectives.Launching;

namespace Distributed.Bench;

/// <summary>
/// Latency of a float32 all-reduce between processes of this host: <c>all-reduce [--ranks N] [--rounds N]</c>. Times are rank 0's, per
/// call, back to back, and its processor time; of several rounds the one with the lowest median is printed.
/// </summary>
internal static class AllReduceBench
{
    private static readonly int[] ByteCounts = [4, 8 << 10, 64 << 10, 1 << 20];

    public static int Run(string[] args) => RunAsync(args).GetAwaiter().GetResult();

    private static async Task<int> RunAsync(string[] args)
    {
        if (Environment.GetEnvironmentVariable("RANK") is not null)
        {
            return await RunRank(Option(args, "--rounds", 30));
        }

        var worldSize = Option(args, "--ranks", 2);
        var directory = Directory.CreateTempSubdirectory("distrun-").FullName;
        var secret = JobSecret.Create();
        await using (var store = await StoreServer.StartAsync(Path.Combine(directory, "store.sock"), "bench", secret))
        {
            var ranks = Enumerable.Range(0, worldSize).Select(rank => Start(args, store, directory, secret, rank, worldSize)).ToArray();
            await Task.WhenAll(ranks.Select(rank => rank.WaitForExitAsync()));
            Directory.Delete(directory, recursive: true);
            return ranks.Max(rank => rank.ExitCode);
        }
    }

    private static Process Start(string[] args, StoreServer store, string directory, JobSecret secret, int rank, int worldSize)
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

        var environment = new RankEnvironment
        {
            Rank = rank,
            LocalRank = rank,
            WorldSize = worldSize,
            LocalWorldSize = worldSize,
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

    private static async Task<int> RunRank(int rounds)
    {
        var line = await Console.In.ReadLineAsync() ?? "";
        var envelope = JobEnvelope.Parse(System.Text.Encoding.UTF8.GetBytes(line));
        using var group = await PeerRendezvous.JoinAsync(RankEnvironment.FromProcess(), envelope, new PeerRendezvousOptions());
        if (group.Rank == 0)
        {
            Console.WriteLine($"{group.TransportDescription}; all-reduce of float32, µs");
            Console.WriteLine($"{"bytes",9} {"p50",9} {"p99",9} {"min",9} {"CPU",9} {"allocated bytes",16}");
        }

        // A dedicated thread drives the group, as in a worker.
        var thread = new Thread(() => Array.ForEach(ByteCounts, byteCount => Measure(group, byteCount, rounds)));
        thread.Start();
        thread.Join();
        return 0;
    }

    private static void Measure(ProcessGroup group, int byteCount, int rounds)
    {
        var values = new float[byteCount / sizeof(float)];
        var times = new double[byteCount < 1 << 20 ? 500 : 50];
        (double P50, double P99, double Min, double Cpu, long AllocatedByteCount) best = (double.MaxValue, 0, 0, 0, 0);
        for (var round = 0; round < rounds; round++)
        {
            group.Barrier();
            var allocated = GC.GetTotalAllocatedBytes();
            var cpu = Environment.CpuUsage.TotalTime;
            for (var i = 0; i < times.Length; i++)
            {
                var started = Stopwatch.GetTimestamp();
                group.AllReduce(values);
                times[i] = Stopwatch.GetElapsedTime(started).TotalMicroseconds;
            }

            cpu = Environment.CpuUsage.TotalTime - cpu;
            allocated = GC.GetTotalAllocatedBytes() - allocated;
            Array.Sort(times);
            if (times[times.Length / 2] < best.P50)
            {
                best = (
                    times[times.Length / 2], times[times.Length * 99 / 100], times[0], cpu.TotalMicroseconds / times.Length, allocated / times.Length);
            }
        }

        if (group.Rank == 0)
        {
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{byteCount,9} {best.P50,9:F1} {best.P99,9:F1} {best.Min,9:F1} {best.Cpu,9:F1} {best.AllocatedByteCount,16}"));
        }
    }

    private static int Option(string[] args, string name, int absent)
        => Array.IndexOf(args, name) is >= 0 and var index ? int.Parse(args[index + 1], CultureInfo.InvariantCulture) : absent;
}
