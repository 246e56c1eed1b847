using System.Globalization;

namespace Distributed.Launcher.Output;

/// <summary>Ranks as a text: 0-2,5.</summary>
internal static class RankList
{
    /// <param name="ranks">In their order, without repetition.</param>
    public static string Format(IReadOnlyList<int> ranks)
    {
        var parts = new List<string>();
        for (var first = 0; first < ranks.Count;)
        {
            var last = first;
            while (last + 1 < ranks.Count && ranks[last + 1] == ranks[last] + 1)
            {
                last++;
            }

            parts.Add(last == first
                ? ranks[first].ToString(CultureInfo.InvariantCulture)
                : string.Create(CultureInfo.InvariantCulture, $"{ranks[first]}-{ranks[last]}"));
            first = last + 1;
        }

        return string.Join(',', parts);
    }
}
