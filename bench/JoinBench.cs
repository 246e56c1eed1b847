using Distributed.Collectives;
using Distributed.Collectives.Launching;

namespace Distributed.Bench;

/// <summary>
/// The least program that joins a group: attaches to its launcher, joins, and says so on rank 0. Started by bench/torchrun/compare.py in the
/// worker's place, beside a PyTorch program that does the same.
/// </summary>
internal static class JoinBench
{
    public static int Run(string[] args)
    {
        _ = new BenchOptions(args);
        var environment = RankEnvironment.FromProcess();
        var envelope = LauncherLink.Attach(environment).Envelope;
        if (envelope is null)
        {
            Console.Error.WriteLine("join needs a job envelope; bench/torchrun/compare.py starts it.");
            return ExitCodes.BadInput;
        }

        using var group = PeerRendezvous.JoinAsync(environment, envelope, new PeerRendezvousOptions()).GetAwaiter().GetResult();
        if (group.Rank == 0)
        {
            Console.WriteLine("joined");
        }

        return ExitCodes.Success;
    }
}
