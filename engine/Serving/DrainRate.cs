using System.Diagnostics;

namespace Distributed.Engine.Serving;

/// <summary>How fast the queue has moved of late: requests a second, the last half minute counting most. Its owner locks.</summary>
internal sealed class DrainRate
{
    private const double Seconds = 30;
    private static readonly TimeSpan Least = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan Most = TimeSpan.FromSeconds(60);

    private readonly long _start = Stopwatch.GetTimestamp();
    private long _last;
    private double _count; // a request counts 1 when it leaves and fades from then on

    /// <summary>A request has left the queue.</summary>
    public void Note()
    {
        var now = Stopwatch.GetTimestamp();
        _count = Faded(now) + 1;
        _last = now;
    }

    /// <summary>How long so many requests will take to leave; 1 s to 60 s.</summary>
    public TimeSpan TimeFor(int requestCount)
    {
        var now = Stopwatch.GetTimestamp();

        // Before a half minute has passed there was less time to count in.
        var weight = Seconds * (1 - Math.Exp(-Stopwatch.GetElapsedTime(_start, now).TotalSeconds / Seconds));
        var perSecond = Faded(now) / Math.Max(weight, 1e-3);
        return perSecond * Most.TotalSeconds <= requestCount
            ? Most
            : TimeSpan.FromSeconds(Math.Max(Least.TotalSeconds, Math.Ceiling(requestCount / perSecond)));
    }

    private double Faded(long now) => _count * Math.Exp(-Stopwatch.GetElapsedTime(_last, now).TotalSeconds / Seconds);
}
