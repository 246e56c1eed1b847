namespace Distributed.Engine.Constraints;

/// <summary>A set of Unicode scalar values as ascending ranges that neither touch nor contain surrogates. Immutable.</summary>
internal sealed class CodePointSet
{
    private const int Last = 0x10FFFF;

    private CodePointSet(IReadOnlyList<(int First, int Last)> ranges) => Ranges = ranges;

    /// <summary>Every scalar value.</summary>
    public static CodePointSet All { get; } = Of((0, Last));

    public static CodePointSet Ascii { get; } = Of((0, 0x7F));

    /// <summary>[range], both ends included.</summary>
    public IReadOnlyList<(int First, int Last)> Ranges { get; }

    public bool IsEmpty => Ranges.Count == 0;

    /// <summary>The union of ranges in any order, without surrogates.</summary>
    public static CodePointSet Of(params IEnumerable<(int First, int Last)> ranges)
    {
        var merged = new List<(int First, int Last)>();
        foreach (var (first, last) in ranges.SelectMany(WithoutSurrogates).OrderBy(range => range.First))
        {
            if (merged.Count > 0 && first <= merged[^1].Last + 1)
            {
                merged[^1] = (merged[^1].First, Math.Max(merged[^1].Last, last));
            }
            else
            {
                merged.Add((first, last));
            }
        }

        return new CodePointSet(merged);
    }

    public static CodePointSet OfCharacters(string characters) => Of(characters.EnumerateRunes().Select(rune => (rune.Value, rune.Value)));

    public bool Contains(int codePoint) => Ranges.Any(range => codePoint >= range.First && codePoint <= range.Last);

    public CodePointSet Union(CodePointSet other) => Of(Ranges.Concat(other.Ranges));

    public CodePointSet Intersect(CodePointSet other) => Of(
        from left in Ranges
        from right in other.Ranges
        let common = (First: Math.Max(left.First, right.First), Last: Math.Min(left.Last, right.Last))
        where common.First <= common.Last
        select common);

    public CodePointSet Complement()
    {
        var next = 0;
        var gaps = new List<(int First, int Last)>();
        foreach (var (first, last) in Ranges)
        {
            gaps.Add((next, first - 1));
            next = last + 1;
        }

        gaps.Add((next, Last));
        return Of(gaps);
    }

    public CodePointSet Except(CodePointSet other) => Intersect(other.Complement());

    private static IEnumerable<(int First, int Last)> WithoutSurrogates((int First, int Last) range)
    {
        (int First, int Last) below = (range.First, Math.Min(range.Last, 0xD7FF)), above = (Math.Max(range.First, 0xE000), range.Last);
        return new[] { below, above }.Where(part => part.First <= part.Last);
    }
}
