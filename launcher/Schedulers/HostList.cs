using System.Globalization;

namespace Distributed.Launcher.Schedulers;

/// <summary>A list of hosts in Slurm's short form (<c>node[1-3,08],gpu7</c>), as in SLURM_STEP_NODELIST.</summary>
/// <remarks>
/// The grammar of hostlist(3): names apart by commas, each with any number of brackets; in a bracket numbers and ranges, apart by commas; the
/// lower bound of a range gives the width to which numbers are filled with zeros; several brackets multiply, the last one counting fastest.
/// Expanded here because scontrol, which would do it, is mostly missing in containers.
/// </remarks>
internal static class HostList
{
    /// <summary>More names than any machine has nodes; a list that gives more is refused.</summary>
    public const int MaxCount = 100_000;

    private const int MaxDigits = 9;

    /// <summary>All names, in the list's order.</summary>
    /// <exception cref="FormatException">The text is no such list; the message says why in a clause.</exception>
    public static IReadOnlyList<string> Expand(string text)
    {
        var names = new List<string>();
        foreach (var item in Split(text))
        {
            List<string> expanded = [""];
            for (var rest = item; rest.Length > 0;)
            {
                var open = rest.IndexOf('[', StringComparison.Ordinal);
                if (open < 0)
                {
                    open = rest.Length;
                }

                var close = open < rest.Length ? rest.IndexOf(']', open) : rest.Length;
                var plain = rest[..open];
                var numbers = open < rest.Length ? Numbers(rest[(open + 1)..close]) : [""];
                if ((long)expanded.Count * numbers.Count + names.Count > MaxCount)
                {
                    throw TooMany();
                }

                expanded = [.. expanded.SelectMany(start => numbers.Select(number => start + plain + number))];
                rest = rest[Math.Min(close + 1, rest.Length)..];
            }

            names.AddRange(expanded);
        }

        return names;
    }

    /// <summary>The items between the commas that are in no bracket.</summary>
    private static List<string> Split(string text)
    {
        var items = new List<string>();
        var start = 0;
        var isInBracket = false;
        for (var index = 0; index <= text.Length; index++)
        {
            var character = index < text.Length ? text[index] : ',';
            if (character == (isInBracket ? '[' : ']') || (index == text.Length && isInBracket))
            {
                throw new FormatException("its brackets do not match");
            }

            if (character is '[' or ']')
            {
                isInBracket = !isInBracket;
            }
            else if (character == ',' && !isInBracket)
            {
                if (index > start)
                {
                    items.Add(text[start..index]);
                }

                start = index + 1;
            }
        }

        return items;
    }

    private static List<string> Numbers(string text)
    {
        var numbers = new List<string>();
        foreach (var part in text.Split(','))
        {
            var bounds = part.Split('-');
            var low = bounds[0];
            if (bounds.Length > 2 || !TryParse(low, out var first) || !TryParse(bounds[^1], out var last) || last < first)
            {
                throw new FormatException($"[{text}] holds {(part.Length == 0 ? "nothing" : part)} where a number or a range LOW-HIGH belongs");
            }

            if (last - first + numbers.Count >= MaxCount)
            {
                throw TooMany();
            }

            for (var number = first; number <= last; number++)
            {
                numbers.Add(number.ToString(CultureInfo.InvariantCulture).PadLeft(low.Length, '0'));
            }
        }

        return numbers;
    }

    private static bool TryParse(string text, out int number)
    {
        number = 0;
        return text.Length <= MaxDigits && int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out number);
    }

    private static FormatException TooMany() => new(string.Create(CultureInfo.InvariantCulture, $"it has more than {MaxCount} names"));
}
