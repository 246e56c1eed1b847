namespace Distributed.Launcher.Rendezvous;

/// <summary>
/// The order of the nodes, from which their ranks follow: declared ranks first, in their order; then host names, with the numbers in them
/// compared as numbers (node7, node8, node66); then as they came.
/// </summary>
internal sealed class NodeOrder : IComparer<NodeEntry>
{
    public static NodeOrder Instance { get; } = new();

    public int Compare(NodeEntry? x, NodeEntry? y)
    {
        ArgumentNullException.ThrowIfNull(x);
        ArgumentNullException.ThrowIfNull(y);
        var byDeclaration = (x.DeclaredRank ?? int.MaxValue).CompareTo(y.DeclaredRank ?? int.MaxValue);
        var byHost = byDeclaration != 0 ? byDeclaration : CompareNames(x.Host, y.Host);
        return byHost != 0 ? byHost : x.Seat.CompareTo(y.Seat);
    }

    /// <summary>Compares names piece by piece, runs of digits by their value.</summary>
    public static int CompareNames(string x, string y)
    {
        var (i, j) = (0, 0);
        while (i < x.Length && j < y.Length)
        {
            if (char.IsAsciiDigit(x[i]) && char.IsAsciiDigit(y[j]))
            {
                var first = TakeDigits(x, ref i);
                var second = TakeDigits(y, ref j);
                var byValue = first.Length != second.Length ? first.Length.CompareTo(second.Length) : first.SequenceCompareTo(second);
                if (byValue != 0)
                {
                    return byValue;
                }
            }
            else if (x[i] != y[j])
            {
                return x[i].CompareTo(y[j]);
            }
            else
            {
                (i, j) = (i + 1, j + 1);
            }
        }

        // Equal but for leading zeros: some order, and always the same.
        var byRest = (x.Length - i).CompareTo(y.Length - j);
        return byRest != 0 ? byRest : string.CompareOrdinal(x, y);
    }

    /// <summary>A run of digits without its leading zeros: of two such, the longer is the larger.</summary>
    private static ReadOnlySpan<char> TakeDigits(string name, ref int position)
    {
        var start = position;
        while (position < name.Length && char.IsAsciiDigit(name[position]))
        {
            position++;
        }

        return name.AsSpan(start, position - start).TrimStart('0');
    }
}
