using System.Diagnostics;

namespace Distributed.Campaigns;

/// <summary>The span of a run in which it is hit.</summary>
internal static class CampaignWindow
{
    private static readonly TimeSpan Longest = TimeSpan.FromSeconds(3);

    /// <summary>From the first rank's start to the end of an undisturbed run, or 3 s of a longer one.</summary>
    public static TimeSpan Measure(IReadOnlyList<string> arguments, TimeSpan limit)
    {
        using var launch = new Launch(arguments);
        if (WaitForRanks(launch, limit) is not { } start)
        {
            return Longest;
        }

        return launch.WaitForEnd(Longest) is null ? Longest : Stopwatch.GetElapsedTime(start);
    }

    /// <summary>Waits for the first rank and returns when it was seen; <see langword="null"/> where there is none.</summary>
    public static long? WaitForRanks(Launch launch, TimeSpan limit)
    {
        var start = Stopwatch.GetTimestamp();
        while (!launch.HasEnded && Stopwatch.GetElapsedTime(start) < limit)
        {
            if (launch.Ranks().Count > 0)
            {
                return Stopwatch.GetTimestamp();
            }

            Thread.Sleep(1);
        }

        return null;
    }
}
