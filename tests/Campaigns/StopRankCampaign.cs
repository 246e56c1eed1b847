using System.Diagnostics;
using System.Text.RegularExpressions;

namespace Distributed.Campaigns;

/// <summary>SIGSTOP of a random rank at a random moment: the launcher has to name it, and to go on with it when it goes on.</summary>
internal static partial class StopRankCampaign
{
    private static readonly TimeSpan RunLimit = TimeSpan.FromSeconds(60);
    private static readonly TimeSpan NamedLimit = TimeSpan.FromSeconds(5);

    public static int Run(CampaignOptions options)
    {
        var random = new Random(options.Seed);
        var named = new Statistics("rank named");
        var window = CampaignWindow.Measure(options.Arguments, RunLimit);
        Console.WriteLine(options.Describe(window));
        var misses = 0;
        var late = 0;
        for (var run = 0; run < options.Count;)
        {
            var (problem, time) = RunOnce(options.Arguments, window * random.NextDouble(), random);
            if (problem is null && time is null)
            {
                if (++late > options.Count)
                {
                    Console.WriteLine("The program ends before it can be stopped; give it more to do.");
                    return 1;
                }

                continue;
            }

            run++;
            if (time is { } some)
            {
                named.Add(some);
            }

            if (problem is not null)
            {
                misses++;
                Console.WriteLine($"run {run}: {problem}");
            }
        }

        Console.WriteLine($"{options.Count} stops, {misses} misses ({late} further runs had ended before their stop)");
        Console.WriteLine(named);
        return misses == 0 ? 0 : 1;
    }

    /// <summary>What was wrong, and after which time the rank was named; neither where the rank had ended before.</summary>
    private static (string? Problem, TimeSpan? Named) RunOnce(IReadOnlyList<string> arguments, TimeSpan delay, Random random)
    {
        using var launch = new Launch(arguments);
        if (CampaignWindow.WaitForRanks(launch, RunLimit) is null)
        {
            return (launch.HasEnded ? null : "no rank was started", null);
        }

        Thread.Sleep(delay);
        var ranks = launch.Ranks();
        if (ranks.Count < 2)
        {
            return (null, null);
        }

        var (rank, id) = ranks.ElementAt(random.Next(ranks.Count));
        var start = Stopwatch.GetTimestamp();
        if (!Launch.Stop(id))
        {
            return (null, null);
        }

        while (!launch.HasEnded && Stopwatch.GetElapsedTime(start) < NamedLimit)
        {
            if (Stopped().Match(launch.ErrorSoFar) is { Success: true } match)
            {
                var time = Stopwatch.GetElapsedTime(start);
                Launch.Continue(id);
                return (Judge(launch, match, rank, id), time);
            }

            Thread.Sleep(5);
        }

        // The others may have done their part: then the stopped rank alone is left, and nobody is kept waiting.
        return launch.Ranks().Count < 2 ? (null, null) : ($"rank {rank} was stopped and not named within {NamedLimit.TotalSeconds} s:\n{launch.ErrorSoFar}", null);
    }

    /// <summary>The right rank is named, and the job succeeds now that it goes on.</summary>
    private static string? Judge(Launch launch, Match match, int rank, int id)
    {
        if (match.Groups["rank"].Value != $"{rank}" || match.Groups["pid"].Value != $"{id}")
        {
            return $"rank {rank} (pid {id}) was stopped, but: {match.Value}";
        }

        return launch.WaitForEnd(RunLimit) is { } end
            ? end.ExitCode == 0 ? null : $"the job did not survive the stop, exit code {end.ExitCode}:\n{end.Error}"
            : $"distrun did not end within {RunLimit.TotalSeconds} s after rank {rank} went on";
    }

    [GeneratedRegex(@"^distrun: .*?rank (?<rank>\d+) is (still .* and is )?stopped by a signal; kill -CONT (?<pid>\d+) ", RegexOptions.Multiline)]
    private static partial Regex Stopped();
}
