using System.Diagnostics;

namespace Distributed.Campaigns;

/// <summary>kill -9 of the launcher at a random moment between its start and the end of the job.</summary>
internal static class KillLauncherCampaign
{
    private static readonly TimeSpan RunLimit = TimeSpan.FromSeconds(60);
    private static readonly TimeSpan GoneLimit = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan StartUp = TimeSpan.FromSeconds(0.3);

    public static int Run(CampaignOptions options)
    {
        var random = new Random(options.Seed);
        var gone = new Statistics("all gone");

        // The ranks' time, and before it the launcher's own, in which a rank may just be being started.
        var window = StartUp + CampaignWindow.Measure(options.Arguments, RunLimit);
        Console.WriteLine(options.Describe(window));
        var misses = 0;
        for (var run = 1; run <= options.Count; run++)
        {
            using var launch = new Launch(options.Arguments);
            Thread.Sleep(window * random.NextDouble());
            var start = Stopwatch.GetTimestamp();
            Launch.Kill(launch.Id);
            var left = launch.Others();
            while (left.Length > 0 && Stopwatch.GetElapsedTime(start) < GoneLimit)
            {
                Thread.Sleep(1);
                left = launch.Others();
            }

            gone.Add(Stopwatch.GetElapsedTime(start));
            if (left.Length > 0)
            {
                misses++;
                Console.WriteLine($"run {run}: alive after {GoneLimit.TotalSeconds} s: {string.Join(", ", left)}");
            }
        }

        Console.WriteLine($"{options.Count} kills, {misses} misses");
        Console.WriteLine(gone);
        return misses == 0 ? 0 : 1;
    }
}
