using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using System.Net;
using Distributed.Protos;
using Google.Protobuf;

namespace Distributed.Collectives.Tests;

/// <summary>
/// Two ranks sum over a connection that a <see cref="FaultProxy"/> harms. Whatever it does, no sum is wrong, every rank ends soon, and a
/// connection that is only slow ends nothing. Of two rounds through all faults the first is over a Unix socket, the second over TLS. <c>Collectives.Tests campaign FIRST COUNT</c> runs as many seeds as one likes.
/// </summary>
internal static class FaultCampaign
{
    private const int RoundCount = 40;
    private const int Length = 3000;

    private static readonly TimeSpan SilenceLimit = TimeSpan.FromSeconds(2);

    // The verdict takes the limit; the rest is for a machine that is busy with other things.
    private static readonly TimeSpan EndLimit = TimeSpan.FromSeconds(10);

    /// <summary>How one seed ended.</summary>
    /// <param name="Fault">What the proxy did.</param>
    /// <param name="IsTls">Whether over TLS; otherwise over a Unix socket.</param>
    /// <param name="Problem">What was wrong, if anything was.</param>
    /// <param name="Verdicts">[rank]: from the harm to the error; empty where a rank has none.</param>
    public sealed record Outcome(WireFault Fault, bool IsTls, string? Problem, TimeSpan[] Verdicts);

    /// <summary>Runs one seed.</summary>
    public static async Task<Outcome> RunAsync(int seed, TimeSpan? silenceLimit = null)
    {
        var silence = silenceLimit ?? SilenceLimit;
        await using var job = await TestJob.StartAsync();
        var isTls = seed / Enum.GetValues<WireFault>().Length % 2 == 1;
        var zero = JoinAsync(job, rank: 0, isTls, silence);
        await using var proxy = isTls
            ? await RedirectAsync(job, seed, silence)
            : await FaultProxy.PlaceAsync(RuntimeDirectory.SocketOf(job.Directory, rank: 0), seed, silence);
        var one = JoinAsync(job, rank: 1, isTls, silence);
        ProcessGroup[] ranks = [await zero.DefaultTimeout(), await one.DefaultTimeout()];

        proxy.Arm();
        var watch = Stopwatch.StartNew();
        var wrong = new string?[ranks.Length];
        var ended = new long[ranks.Length];
        var errors = RankThreads.Catch(ranks, group =>
        {
            try
            {
                wrong[group.Rank] = Sum(group);
            }
            finally
            {
                ended[group.Rank] = Stopwatch.GetTimestamp();
            }
        });
        var problem = wrong.FirstOrDefault(text => text is not null)
            ?? errors.Where(error => error is not null and not CollectiveException).Select(error => error!.ToString()).FirstOrDefault()
            ?? (watch.Elapsed > EndLimit ? $"it took {watch.Elapsed.TotalSeconds:0.0} s" : null)
            ?? Judge(proxy.Fault, isTls, errors);
        TimeSpan[] verdicts = Array.Exists(errors, error => error is null) || proxy.Struck == 0 ? [] : Array.ConvertAll(ended, time => Stopwatch.GetElapsedTime(proxy.Struck, time));
        return new Outcome(proxy.Fault, isTls, problem is null ? null : $"seed {seed}, {(isTls ? "TLS" : "Unix socket")}, {proxy}: {problem}", verdicts);
    }

    /// <summary>Runs seeds by hand, several at once and with the product's own limit of silence, and prints a table of the verdicts.</summary>
    public static async Task<int> RunAsync(int first, int count)
    {
        var outcomes = new ConcurrentBag<Outcome>();
        await Parallel.ForEachAsync(Enumerable.Range(first, count), new ParallelOptions { MaxDegreeOfParallelism = 4 }, async (seed, _) =>
        {
            var outcome = await RunAsync(seed, PeerPulse.DefaultSilenceLimit);
            outcomes.Add(outcome);
            if (outcome.Problem is { } problem)
            {
                Console.WriteLine(problem);
            }
        });

        var failed = outcomes.Count(outcome => outcome.Problem is not null);
        Console.WriteLine($"{count} seeds from {first}, {failed} failed; s from the harm to the error, of both ranks:");
        Console.WriteLine($"{"fault",-10} {"transport",-12} {"seeds",5} {"ended",5} {"p50",7} {"p99",7} {"max",7}");
        foreach (var group in outcomes.GroupBy(outcome => (outcome.Fault, outcome.IsTls)).OrderBy(group => group.Key))
        {
            var verdicts = group.SelectMany(outcome => outcome.Verdicts).Select(verdict => verdict.TotalSeconds).Order().ToArray();
            var times = verdicts.Length == 0 ? "" : string.Create(
                CultureInfo.InvariantCulture, $"{verdicts[verdicts.Length / 2],7:0.000} {verdicts[verdicts.Length * 99 / 100],7:0.000} {verdicts[^1],7:0.000}");
            Console.WriteLine($"{group.Key.Fault,-10} {(group.Key.IsTls ? "TLS" : "Unix socket"),-12} {group.Count(),5} {group.Count(outcome => outcome.Verdicts.Length > 0),5} {times}");
        }

        return failed == 0 ? 0 : 1;
    }

    private static Task<ProcessGroup> JoinAsync(TestJob job, int rank, bool isTls, TimeSpan silenceLimit)
    {
        var environment = job.Environment(rank, 2);
        return PeerRendezvous.JoinAsync(
            isTls ? environment with { LocalWorldSize = 1, LocalRank = 0, GroupRank = rank, GroupWorldSize = 2 } : environment,
            job.Envelope(rank),
            new PeerRendezvousOptions
            {
                Transport = TransportChoice.Grpc,
                SilenceLimit = silenceLimit,
                HostIdentity = isTls ? $"host {rank}" : null,
                ListenAddress = IPAddress.Loopback,
            });
    }

    // Puts the proxy's port in the place of rank 0's in what that rank has published.
    private static async Task<FaultProxy> RedirectAsync(TestJob job, int seed, TimeSpan silenceLimit)
    {
        await using var store = job.Connect();
        var address = PeerAddress.Parser.ParseFrom(await store.GetAsync("peer/0/0", TimeSpan.FromSeconds(20)).DefaultTimeout());
        var proxy = FaultProxy.Listen(PeerDirectory.EndPointOf(address)!, seed, silenceLimit);
        address.TcpPort = (uint)proxy.EndPoint.Port;
        await store.SetAsync("peer/0/0", address.ToByteArray()).DefaultTimeout();
        return proxy;
    }

    private static string? Judge(WireFault fault, bool isTls, Exception?[] errors) => fault switch
    {
        WireFault.Delay or WireFault.Rate or WireFault.Stall => errors.FirstOrDefault(error => error is not null)?.Message,
        WireFault.Mute or WireFault.Truncate or WireFault.Reset => Array.Exists(errors, error => error is null) ? "a rank was not told" : null,
        WireFault.Flip when isTls => Array.Exists(errors, error => error is null) ? "TLS did not catch it" : null,
        _ => null, // a bit of a window update or a heartbeat may mean nothing
    };

    private static string? Sum(ProcessGroup group)
    {
        var values = new float[Length];
        for (var round = 0; round < RoundCount; round++)
        {
            for (var i = 0; i < Length; i++)
            {
                values[i] = (group.Rank + 1) * (i + round);
            }

            group.AllReduce(values, new CollectiveOptions((uint)round, TimeSpan.FromSeconds(30)));
            for (var i = 0; i < Length; i++)
            {
                if (values[i] != 3 * (i + round))
                {
                    return $"rank {group.Rank}, round {round}, element {i}: {values[i]} is not {3 * (i + round)}";
                }
            }
        }

        return null;
    }
}
