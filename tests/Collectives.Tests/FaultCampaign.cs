using System.Diagnostics;

namespace Distributed.Collectives.Tests;

/// <summary>
/// Two ranks sum over a connection that a <see cref="FaultProxy"/> harms. Whatever it does, no sum is wrong, every rank ends soon, and a
/// connection that is only slow ends nothing. <c>Collectives.Tests campaign FIRST COUNT</c> runs as many seeds as one likes.
/// </summary>
internal static class FaultCampaign
{
    private const int RoundCount = 40;
    private const int Length = 3000;

    private static readonly TimeSpan SilenceLimit = TimeSpan.FromSeconds(2);

    // The verdict takes the limit; the rest is for a machine that is busy with other things.
    private static readonly TimeSpan EndLimit = TimeSpan.FromSeconds(10);

    /// <summary>Runs one seed and says what was wrong, if anything was.</summary>
    public static async Task<string?> RunAsync(int seed)
    {
        await using var job = await TestJob.StartAsync();
        var options = new PeerRendezvousOptions { Transport = TransportChoice.Grpc, SilenceLimit = SilenceLimit };
        var zero = PeerRendezvous.JoinAsync(job.Environment(0, 2), job.Envelope(0), options);
        await using var proxy = await FaultProxy.PlaceAsync(RuntimeDirectory.SocketOf(job.Directory, rank: 0), seed, SilenceLimit);
        var one = PeerRendezvous.JoinAsync(job.Environment(1, 2), job.Envelope(1), options);
        ProcessGroup[] ranks = [await zero.DefaultTimeout(), await one.DefaultTimeout()];

        proxy.Arm();
        var watch = Stopwatch.StartNew();
        var wrong = new string?[ranks.Length];
        var errors = RankThreads.Catch(ranks, group => wrong[group.Rank] = Sum(group));
        var problem = wrong.FirstOrDefault(text => text is not null)
            ?? errors.Where(error => error is not null and not CollectiveException).Select(error => error!.ToString()).FirstOrDefault()
            ?? (watch.Elapsed > EndLimit ? $"it took {watch.Elapsed.TotalSeconds:0.0} s" : null)
            ?? Judge(proxy.Fault, errors);
        return problem is null ? null : $"seed {seed}, {proxy}: {problem}";
    }

    /// <summary>Runs seeds by hand.</summary>
    public static async Task<int> RunAsync(int first, int count)
    {
        var failed = 0;
        for (var seed = first; seed < first + count; seed++)
        {
            if (await RunAsync(seed) is { } problem)
            {
                failed++;
                Console.WriteLine(problem);
            }
        }

        Console.WriteLine($"{count} seeds, {failed} failed");
        return failed == 0 ? 0 : 1;
    }

    private static string? Judge(WireFault fault, Exception?[] errors) => fault switch
    {
        WireFault.Delay or WireFault.Rate or WireFault.Stall => errors.FirstOrDefault(error => error is not null)?.Message,
        WireFault.Mute or WireFault.Truncate => Array.Exists(errors, error => error is null) ? "a rank was not told" : null,
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
