using System.Globalization;
using System.Text;
using Distributed.Collectives.Launching;

namespace Distributed.Collectives.Tests;

/// <summary>
/// One rank as a process of its own: it reads its environment and its envelope as a worker does, joins, and says on stdout what came of
/// it. "check" runs every operation once; "loop [SILENCE LIMIT]" sums until the group fails; "soak SECONDS [shm|grpc|hosts]" is <see cref="Soak"/>;
/// "campaign" is no rank but <see cref="FaultCampaign"/>. Otherwise it runs the tests.
/// </summary>
internal static class RankProgram
{
    public static async Task<int> Main(string[] args)
    {
        switch (args)
        {
            case ["campaign", var first, var count]:
                return await FaultCampaign.RunAsync(int.Parse(first, CultureInfo.InvariantCulture), int.Parse(count, CultureInfo.InvariantCulture));
            case ["soak", var seconds]:
                return await Soak.RunAsync(TimeSpan.FromSeconds(int.Parse(seconds, CultureInfo.InvariantCulture)), "shm");
            case ["soak", var seconds, "shm" or "grpc" or "hosts"]:
                return await Soak.RunAsync(TimeSpan.FromSeconds(int.Parse(seconds, CultureInfo.InvariantCulture)), args[2]);
            case ["check" or "loop", ..]:
                return await RunRankAsync(args);
            default:
                return await TestRunner.RunAsync(args);
        }
    }

    private static async Task<int> RunRankAsync(string[] args)
    {
        var envelope = JobEnvelope.Parse(Encoding.UTF8.GetBytes(Console.ReadLine() ?? ""));
        var options = args is ["loop", var seconds]
            ? new PeerRendezvousOptions { SilenceLimit = TimeSpan.FromSeconds(int.Parse(seconds, CultureInfo.InvariantCulture)) }
            : new PeerRendezvousOptions();
        using var group = await PeerRendezvous.JoinAsync(RankEnvironment.FromProcess(), envelope, options);
        Console.WriteLine("joined");
        return args[0] == "loop" ? Loop(group) : Check(group);
    }

    private static int Check(ProcessGroup group)
    {
        foreach (var length in new[] { 0, 1, 1001, 300_001 })
        {
            OperationChecks.AllReduce(group, length);
            OperationChecks.AllGather(group, length);
            OperationChecks.Gather(group, length);
            OperationChecks.Broadcast(group, length);
            OperationChecks.SendAndReceive(group, length);
            group.Barrier();
        }

        Console.WriteLine($"ports {string.Join(" ", ListeningPorts())}".TrimEnd());
        group.Barrier();
        return 0;
    }

    private static int Loop(ProcessGroup group)
    {
        var values = new float[2048];
        try
        {
            while (true)
            {
                group.AllReduce(values, new CollectiveOptions(Tag: 9, Timeout: TimeSpan.FromSeconds(20)));
            }
        }
        catch (CollectiveException exception)
        {
            Console.WriteLine($"{exception.GetType().Name} {exception.PeerRank} {exception.Message}");
            return 75;
        }
    }

    // Linux only: the TCP sockets in state LISTEN among this process's descriptors.
    private static IEnumerable<string> ListeningPorts()
    {
        if (!OperatingSystem.IsLinux())
        {
            return [];
        }

        var sockets = new DirectoryInfo("/proc/self/fd").EnumerateFiles()
            .Select(descriptor => descriptor.LinkTarget)
            .ToHashSet();
        return new[] { "/proc/self/net/tcp", "/proc/self/net/tcp6" }
            .Where(File.Exists)
            .SelectMany(file => File.ReadLines(file).Skip(1))
            .Select(line => line.Split(' ', StringSplitOptions.RemoveEmptyEntries))
            .Where(fields => fields[3] == "0A" && sockets.Contains($"socket:[{fields[9]}]"))
            .Select(fields => fields[1]);
    }
}
