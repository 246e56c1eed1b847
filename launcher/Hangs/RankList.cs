using System.Globalization;
using System.Text;

namespace Distributed.Launcher.Hangs;

/// <summary>Ranks in words: rank 3; ranks 0, 2; ranks 0-6, 9.</summary>
internal static class RankList
{
    private const int ShortestRange = 3;

    public static string Format(IEnumerable<int> ranks)
    {
        int[] sorted = [.. ranks.Order()];
        var text = new StringBuilder(sorted.Length == 1 ? "rank " : "ranks ");
        for (var first = 0; first < sorted.Length;)
        {
            var last = first;
            while (last + 1 < sorted.Length && sorted[last + 1] == sorted[last] + 1)
            {
                last++;
            }

            // Two neighbours read better apart.
            last = last - first + 1 < ShortestRange ? first : last;
            text.Append(first > 0 ? ", " : "").Append(CultureInfo.InvariantCulture, $"{sorted[first]}");
            if (last > first)
            {
                text.Append(CultureInfo.InvariantCulture, $"-{sorted[last]}");
            }

            first = last + 1;
        }

        return text.ToString();
    }
}
