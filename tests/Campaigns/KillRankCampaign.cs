using System.Diagnostics;
using System.Text.RegularExpressions;

namespace Distributed.Campaigns;

/// <summary>kill -9 of a random rank at a random moment between its start and the end of the job.</summary>
internal static partial class KillRankCampaign
{
    private const int ExitCodeOfKill = 128 + 9;
    private static readonly TimeSpan RunLimit = TimeSpan.FromSeconds(60);
    private static readonly TimeSpan GoneLimit = TimeSpan.FromSeconds(1);

    public static int Run(CampaignOptions options)
    {
        var random = new Random(options.Seed);
        var detected = new Statistics("rank collected");
        var gone = new Statistics("others gone");
        var ended = new Statistics("distrun ended");
        var window = CampaignWindow.Measure(options.Arguments, RunLimit);
        Console.WriteLine(options.Describe(window));
        var misses = 0;
        var late = 0;
        for (var run = 0; run < options.Count;)
        {
            var problem = RunOnce(options.Arguments, window * random.NextDouble(), random, detected, gone, ended);
            if (problem == TooLate)
            {
                if (++late > options.Count)
                {
                    Console.WriteLine("The program ends before it can be killed; give it more to do.");
                    return 1;
                }

                continue;
            }

            run++;
            if (problem is not null)
            {
                misses++;
                Console.WriteLine($"run {run}: {problem}");
            }
        }

        Console.WriteLine($"{options.Count} kills, {misses} misses ({late} further runs had ended before their kill)");
        Console.WriteLine(detected);
        Console.WriteLine(gone);
        Console.WriteLine(ended);
        return misses == 0 ? 0 : 1;
    }

    private const string TooLate = "too late";

    /// <summary>What was wrong, <see cref="TooLate"/>, or <see langword="null"/>.</summary>
    private static string? RunOnce(
        IReadOnlyList<string> arguments, TimeSpan delay, Random random, Statistics detected, Statistics gone, Statistics ended)
    {
        using var launch = new Launch(arguments);
        if (CampaignWindow.WaitForRanks(launch, RunLimit) is null)
        {
            return launch.HasEnded ? TooLate : "no rank was started";
        }

        Thread.Sleep(delay);
        var ranks = launch.Ranks();
        if (ranks.Count == 0)
        {
            return TooLate;
        }

        var (rank, id) = ranks.ElementAt(random.Next(ranks.Count));
        var others = launch.Others().Where(other => other != id).ToArray();
        var start = Stopwatch.GetTimestamp();
        Launch.Kill(id);
        TimeSpan? collectedAfter = null;
        TimeSpan? goneAfter = null;
        while (!launch.HasEnded && Stopwatch.GetElapsedTime(start) < RunLimit)
        {
            collectedAfter ??= Launch.Exists(id) ? null : Stopwatch.GetElapsedTime(start);
            goneAfter ??= others.Any(Launch.IsAlive) ? null : Stopwatch.GetElapsedTime(start);
            Thread.Sleep(1);
        }

        var endedAfter = Stopwatch.GetElapsedTime(start);
        if (launch.WaitForEnd(RunLimit) is not { } end)
        {
            return $"distrun did not end within {RunLimit.TotalSeconds} s of the kill of rank {rank}";
        }

        if (end.ExitCode == 0)
        {
            return TooLate; // The rank had done its work.
        }

        detected.Add(collectedAfter ?? endedAfter);
        gone.Add(goneAfter ?? endedAfter);
        ended.Add(endedAfter);
        return Judge(launch, rank, end.ExitCode, end.Error, goneAfter ?? endedAfter);
    }

    private static string? Judge(Launch launch, int rank, int exitCode, string error, TimeSpan goneAfter)
    {
        var named = RootCause().Matches(error).Select(match => match.Groups[1].Value).ToArray();
        if (named is not [var one] || one != $"{rank}")
        {
            return $"rank {rank} was killed, the report names [{string.Join(", ", named)}]:\n{error}";
        }

        if (exitCode != ExitCodeOfKill)
        {
            return $"the exit code is {exitCode}:\n{error}";
        }

        if (goneAfter > GoneLimit)
        {
            return $"the others were gone after {goneAfter.TotalMilliseconds:0} ms only";
        }

        if (launch.Others() is { Length: > 0 } left)
        {
            return $"processes are left: {string.Join(", ", left)}";
        }

        return launch.HasTidiedUp ? null : "the directory of the job is left";
    }

    [GeneratedRegex(@"Root Cause \(first observed failure\):\n\[\d+\]:\n(?:  (?:time|host) .*\n)*  rank      : (\d+) ")]
    private static partial Regex RootCause();
}
