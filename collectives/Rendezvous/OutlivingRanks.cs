using System.Globalization;

namespace Distributed.Collectives;

/// <summary>Which ranks of an attempt are to outlive it (<see cref="PeerRendezvousOptions.OutlivesAttempt"/>): each says so in the attempt's store.</summary>
public static class OutlivingRanks
{
    /// <summary>Those that have said so.</summary>
    /// <param name="store">The attempt's store, in this process.</param>
    /// <param name="ranks">Who may have.</param>
    public static async Task<IReadOnlySet<int>> FindAsync(RendezvousStore store, IEnumerable<int> ranks)
    {
        ArgumentNullException.ThrowIfNull(store);
        ArgumentNullException.ThrowIfNull(ranks);
        var found = new HashSet<int>();
        foreach (var rank in ranks)
        {
            if (await store.GetChangedAsync(KeyOf(rank), known: null, TimeSpan.Zero) is not null)
            {
                found.Add(rank);
            }
        }

        return found;
    }

    internal static Task AddAsync(RendezvousStore store, int rank, CancellationToken cancellationToken)
        => store.SetAsync(KeyOf(rank), "1"u8.ToArray(), cancellationToken);

    private static string KeyOf(int rank) => string.Create(CultureInfo.InvariantCulture, $"outlives/{rank}");
}
