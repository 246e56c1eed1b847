using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Runtime.InteropServices;
using Distributed.Collectives.Launching;

namespace Distributed.Collectives.Tests;

/// <summary>
/// One rank of a long run of random operations, every result of which is checked, and in which a rank is slow now and then: no rank may be taken for lost, and none may
/// grow. <c>distrun --nproc-per-node 8 Collectives.Tests soak 3600 [shm|grpc|hosts]</c> runs for an hour, over shared memory unless another is asked for; with <c>hosts</c> the halves
/// believe that they are on different ones, with TLS between. Beside the whole world's operations there are those of subgroups, and some behind handles.
/// </summary>
internal static class Soak
{
    private const int OperationCount = 40; // of a round

    /// <param name="length">How long it runs.</param>
    /// <param name="transport">"shm", "grpc" or "hosts".</param>
    public static async Task<int> RunAsync(TimeSpan length, string transport)
    {
        var environment = RankEnvironment.FromProcess();
        var link = LauncherLink.Attach(environment);
        var options = new PeerRendezvousOptions { Transport = transport == "grpc" ? TransportChoice.Grpc : TransportChoice.Automatic };
        if (transport == "hosts")
        {
            var half = (environment.WorldSize + 1) / 2;
            environment = environment with
            {
                LocalRank = environment.Rank % half,
                LocalWorldSize = environment.Rank < half ? half : environment.WorldSize - half,
                GroupRank = environment.Rank / half,
                GroupWorldSize = 2,
            };
            options = options with { HostIdentity = $"host {environment.GroupRank}", ListenAddress = IPAddress.Loopback };
        }

        using var group = await PeerRendezvous.JoinAsync(environment, link.Envelope!, options);
        var mesh = group.WorldSize is > 2 and var size && size % 2 == 0 ? new ProcessMesh(group, ("dp", 2), ("tp", size / 2)) : null;
        var start = Stopwatch.GetTimestamp();
        long[] before = [];
        var rounds = 0;
        byte[] isOver = [0];
        for (; isOver[0] == 0; rounds++)
        {
            RunRound(group, mesh, rounds);
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

        var movement = (length < TimeSpan.FromMinutes(5) ? 64L : 16L) << 20; // a heap takes minutes to settle
        var grown = now.Where((bytes, rank) => bytes > (before[rank] * 11 / 10) + movement).Count();
        Console.WriteLine(string.Create(
            CultureInfo.InvariantCulture,
            $"{group.WorldSize} ranks, {length.TotalSeconds:0} s over {group.TransportDescription}: {(long)rounds * OperationCount} operations, all results right, no rank lost; "
            + $"MiB a rank after a fifth {Shown(before)}, at the end {Shown(now)}; {grown} ranks have grown by more than a tenth and {movement >> 20} MiB"));
        return grown == 0 ? 0 : 1;
    }

    // Of eight rounds one behind handles, and two of subgroups, which run at the same time.
    private static void RunRound(ProcessGroup group, ProcessMesh? mesh, int round)
    {
        switch (round % 8)
        {
            case 2 or 5 when mesh is not null:
                var part = mesh[round % 8 == 2 ? "tp" : "dp"];
                new RandomProgram(round, part.WorldSize, OperationCount).Run(part);
                break;
            case 7:
                using (var handles = new AsyncCollectives(group))
                {
                    Task.WaitAll([.. Enumerable.Range(0, 4).Select(i => handles.Enqueue(own => new RandomProgram((round * 4) + i, own.WorldSize, OperationCount / 4).Run(own)))]);
                }

                break;
            default:
                new RandomProgram(round, group.WorldSize, OperationCount).Run(group);
                break;
        }
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
