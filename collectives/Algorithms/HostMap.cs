namespace Distributed.Collectives.Algorithms;

/// <summary>A subtree of the reduction tree whose ranks are all on one host.</summary>
/// <param name="FirstRank">Its lowest rank.</param>
/// <param name="Count">The number of its ranks, which follow each other.</param>
/// <param name="Host">The number of the host.</param>
internal readonly record struct TreeUnit(int FirstRank, int Count, int Host);

/// <summary>
/// Which ranks of a group share a host, and what of the reduction tree each host can do alone: its <em>units</em>, the largest subtrees
/// that lie wholly on it. Hosts of 4 and 4 ranks have one unit each; hosts of 3 and 3 have two each (0 1, 2 and 3, 4 5), as the tree of six ranks
/// joins 2 with 3. The <em>leader</em> of a host is its lowest rank.
/// </summary>
internal sealed class HostMap
{
    private readonly int[] _hostOf;  // [rank]
    private readonly int[] _leaders; // [host]
    private readonly TreeUnit[][] _unitsOf; // [host, unit], in rank order
    private readonly int[] _unitAt;  // [rank]: which of all units begins there; -1 where none does

    private HostMap(int[] hostOf)
    {
        _hostOf = hostOf;
        var hostCount = hostOf.Max() + 1;
        _leaders = [.. Enumerable.Range(0, hostCount).Select(host => Array.IndexOf(hostOf, host))];
        List<TreeUnit> units = [];
        Collect(firstRank: 0, hostOf.Length, units);
        Units = units;
        _unitsOf = [.. Enumerable.Range(0, hostCount).Select(host => units.Where(unit => unit.Host == host).ToArray())];
        _unitAt = [.. Enumerable.Range(0, hostOf.Length).Select(rank => units.FindIndex(unit => unit.FirstRank == rank))];
    }

    /// <summary>All units, in rank order.</summary>
    public IReadOnlyList<TreeUnit> Units { get; }

    /// <summary>The number of hosts, at least two.</summary>
    public int HostCount => _leaders.Length;

    /// <summary>The most units that a host has.</summary>
    public int MaxUnitCount => _unitsOf.Max(units => units.Length);

    /// <summary>The map of ranks that are on more than one host; <see langword="null"/> for those of one.</summary>
    /// <param name="identities">[rank], equal for ranks of one host.</param>
    public static HostMap? Of<T>(IReadOnlyList<T> identities)
        where T : notnull
    {
        // Numbered as they come first, so that every rank has the same numbers.
        var numbers = new Dictionary<T, int>();
        var hostOf = identities.Select(identity => numbers.TryGetValue(identity, out var host) ? host : numbers[identity] = numbers.Count).ToArray();
        return numbers.Count < 2 ? null : new HostMap(hostOf);
    }

    /// <summary>The map of some of these ranks.</summary>
    public HostMap? Subset(ReadOnlySpan<int> ranks)
    {
        var identities = new int[ranks.Length];
        for (var i = 0; i < identities.Length; i++)
        {
            identities[i] = _hostOf[ranks[i]];
        }

        return Of(identities);
    }

    /// <summary>The host of a rank.</summary>
    public int HostOf(int rank) => _hostOf[rank];

    /// <summary>The lowest rank of a host.</summary>
    public int LeaderOf(int host) => _leaders[host];

    /// <summary>The units of a host, in rank order.</summary>
    public ReadOnlySpan<TreeUnit> UnitsOf(int host) => _unitsOf[host];

    /// <summary>The number, among all, of the unit that begins with a rank.</summary>
    public int UnitAt(int firstRank) => _unitAt[firstRank];

    private void Collect(int firstRank, int count, List<TreeUnit> units)
    {
        if (_hostOf.AsSpan(firstRank, count).IndexOfAnyExcept(_hostOf[firstRank]) < 0)
        {
            units.Add(new TreeUnit(firstRank, count, _hostOf[firstRank]));
            return;
        }

        var half = ReductionTree.FirstHalf(count);
        Collect(firstRank, half, units);
        Collect(firstRank + half, count - half, units);
    }
}
