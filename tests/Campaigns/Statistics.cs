using System.Globalization;

namespace Distributed.Campaigns;

/// <summary>Times of many runs, printed as percentiles.</summary>
/// <param name="name">Of what.</param>
/// <param name="times">Those that are known already.</param>
internal sealed class Statistics(string name, params IEnumerable<TimeSpan> times)
{
    private readonly List<double> _milliseconds = [.. times.Select(time => time.TotalMilliseconds)];

    public void Add(TimeSpan time) => _milliseconds.Add(time.TotalMilliseconds);

    public override string ToString()
    {
        if (_milliseconds.Count == 0)
        {
            return $"{name,-16} no run";
        }

        var sorted = _milliseconds.Order().ToArray();
        return string.Create(
            CultureInfo.InvariantCulture,
            $"{name,-16} p50 {Percentile(sorted, 0.5),7:0.0} ms   p99 {Percentile(sorted, 0.99),7:0.0} ms   max {sorted[^1],7:0.0} ms");
    }

    // The nearest rank: the smallest value that at least this share of all does not exceed.
    private static double Percentile(double[] sorted, double share) => sorted[Math.Max(0, (int)Math.Ceiling(share * sorted.Length) - 1)];
}
