using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using Distributed.Collectives.Launching;

namespace Distributed.Collectives.Tests;

/// <summary>
/// One rank of a long run of random operations, every result of which is checked, and in which a rank is slow now and then: no rank may be taken for lost, and none may
/// grow. <c>distrun --nproc-per-node 8 Collectives.Tests soak 3600</c> runs for an hour.
/// </summary>
internal static class Soak
{
    private const int OperationCount = 40; // of a round
    private const long HeapMovement = 16 << 20;

    public static async Task<int> RunAsync(TimeSpan length)
    {
        var environment = RankEnvironment.FromProcess();
        var link = LauncherLink.Attach(environment);
        using var group = await PeerRendezvous.JoinAsync(environment, link.Envelope!, new PeerRendezvousOptions());
        var start = Stopwatch.GetTimestamp();
        long[] before = [];
        var rounds = 0;
        byte[] isOver = [0];
        for (; isOver[0] == 0; rounds++)
        {
            new RandomProgram(rounds, group.WorldSize, OperationCount).Run(group);
            var random = new Random(rounds);
            if (random.Next(20) == 0 && random.Next(group.WorldSize) == group.Rank)
            {
                Thread.Sleep(random.Next(3000));
            }

            var passed = Stopwatch.GetElapsedTime(start);
            byte[] isWarm = [passed > length / 5 ? (byte)1 : (byte)0];
            group.Broadcast(isWarm, 0, Tagged(1));
            if (before.Length == 0 && isWarm[0] == 1)
            {
                before = Residents(group);
            }

            isOver = [passed > length ? (byte)1 : (byte)0];
            group.Broadcast(isOver, 0, Tagged(2));
        }

        var now = Residents(group);
        if (group.Rank > 0)
        {
            return 0;
        }

        var grown = now.Where((bytes, rank) => bytes > (before[rank] * 11 / 10) + HeapMovement).Count();
        Console.WriteLine(string.Create(
            CultureInfo.InvariantCulture,
            $"{group.WorldSize} ranks, {length.TotalSeconds:0} s over {group.TransportDescription}: {(long)rounds * OperationCount} operations, all results right, no rank lost; "
            + $"MiB a rank after a fifth {Shown(before)}, at the end {Shown(now)}; {grown} ranks have grown by more than a tenth and 16 MiB"));
        return grown == 0 ? 0 : 1;
    }

    private static string Shown(long[] bytes) => string.Join(' ', bytes.Select(rank => rank >> 20));

    // [rank]
    private static long[] Residents(ProcessGroup group)
    {
        using var process = Process.GetCurrentProcess();
        long[] own = [process.WorkingSet64];
        var all = new long[group.WorldSize];
        group.AllGather(MemoryMarshal.AsBytes(own.AsSpan()), MemoryMarshal.AsBytes(all.AsSpan()), Tagged(3));
        return all;
    }

    private static CollectiveOptions Tagged(uint number) => new(OperationCount + number, TimeSpan.FromSeconds(60));
}
