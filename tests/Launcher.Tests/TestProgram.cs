using System.Diagnostics;
using System.Globalization;
using Distributed.Collectives;
using Distributed.Collectives.Launching;
using Distributed.Protos;

namespace Distributed.Launcher.Tests;

/// <summary>What the tests start as a worker that knows the launcher's contract: this assembly, run as a program.</summary>
public static class TestProgram
{
    /// <summary>The program, started as <c>TestProgram attach</c>.</summary>
    public static string Path { get; } = System.IO.Path.Combine(AppContext.BaseDirectory, "Launcher.Tests");

    public static async Task<int> Main(string[] args)
    {
        ArgumentNullException.ThrowIfNull(args);
        switch (args)
        {
            case ["processors"]:
                Console.WriteLine($"{Environment.ProcessorCount} {Environment.GetEnvironmentVariable("OMP_NUM_THREADS")}");
                return ExitCodes.Success;
            case ["attach"]:
                return Attach(echo: true, end: false);
            case ["attach-and-end"]:
                return Attach(echo: true, end: true);
            case ["attach-and-never-read"]:
                return Attach(echo: false, end: false);
            case ["outlive", var failingAttempts, var how]:
                return await OutliveAsync(int.Parse(failingAttempts, CultureInfo.InvariantCulture), how);
            case ["progress", var what]:
                return Progress(what);
            default:
                return await TestRunner.RunAsync(args);
        }
    }

    /// <summary>
    /// Rank 0 outlives the attempts in which rank 1 kills itself, where <paramref name="how"/> is "stops" stops itself; where it is "dies" rank 0 dies as soon as it has lost its
    /// group.
    /// </summary>
    private static async Task<int> OutliveAsync(int failingAttempts, string how)
    {
        var environment = RankEnvironment.FromProcess();
        var link = LauncherLink.Attach(environment);
        var envelope = link.Envelope!;
        var options = new PeerRendezvousOptions { OutlivesAttempt = environment.Rank == 0, SilenceLimit = TimeSpan.FromSeconds(how == "stops" ? 2 : 5) };
        while (true)
        {
            using var group = await PeerRendezvous.JoinAsync(environment, envelope, options);
            Console.Error.WriteLine($"attempt {environment.RestartCount} pid {Environment.ProcessId}");
            try
            {
                group.Barrier();
                if (environment.Rank == 1 && environment.RestartCount < failingAttempts)
                {
                    _ = Posix.Kill(Environment.ProcessId, how == "stops" ? Posix.SigStop : Posix.SigKill);
                    Thread.Sleep(Timeout.Infinite); // not a step more, should this thread be the last to stand still
                }

                group.Barrier();
                var sum = new float[] { environment.Rank };
                group.AllReduce(sum);
                Console.Error.WriteLine($"sum {sum[0]}");
                return ExitCodes.Success;
            }
            catch (CollectiveException exception) when (environment.Rank == 0)
            {
                if (how == "dies")
                {
                    _ = Posix.Kill(Environment.ProcessId, Posix.SigKill);
                }

                await OutlivingRanks.TellLossAsync(environment, envelope, exception);
            }

            (environment, envelope) = await link.WaitForNextAttemptAsync(environment);
        }
    }

    /// <summary>A rank that publishes where it is: after one barrier, it waits in an operation, or idles or computes outside of one.</summary>
    private static int Progress(string what)
    {
        var environment = RankEnvironment.FromProcess();
        using var page = ProgressPageWriter.TryCreate(environment.RuntimeDirectory!, environment.Rank, environment.RestartCount)!;
        page.Begin(Operation.Barrier, default, Stopwatch.GetTimestamp());
        page.End();
        if (what == "idle")
        {
            Thread.Sleep(Timeout.Infinite);
        }

        if (what.EndsWith("-then-fail", StringComparison.Ordinal))
        {
            for (var start = Stopwatch.GetTimestamp(); Stopwatch.GetElapsedTime(start) < TimeSpan.FromSeconds(4);)
            {
                if (what.StartsWith("idle", StringComparison.Ordinal))
                {
                    Thread.Sleep(4000);
                }
            }

            return 3;
        }

        page.Begin(Operation.AllReduce, new CollectiveOptions { AwaitsWork = what == "awaiting-work" }, Stopwatch.GetTimestamp());
        Thread.Sleep(Timeout.Infinite);
        return ExitCodes.Success;
    }

    private static int Attach(bool echo, bool end)
    {
        LauncherLink link;
        try
        {
            link = LauncherLink.Attach(RankEnvironment.FromProcess());
        }
        catch (RankEnvironmentException exception)
        {
            Console.Error.WriteLine(exception.Message);
            return ExitCodes.BadInput;
        }

        Console.WriteLine($"attached as rank {link.Envelope?.Rank}, terminal {link.UserInputIsTerminal}, console {Console.In.ReadLine() ?? "empty"}");
        if (echo)
        {
            using var reader = new StreamReader(link.UserInput);
            while (reader.ReadLine() is { } line)
            {
                Console.WriteLine($"read {line}");
            }

            Console.WriteLine("input ended");
        }

        if (!end)
        {
            Thread.Sleep(Timeout.Infinite);
        }

        return ExitCodes.Success;
    }
}
