using System.Globalization;
using Distributed.Collectives.Launching;

namespace Distributed.Collectives;

/// <summary>
/// Which ranks of an attempt are to outlive it (<see cref="PeerRendezvousOptions.OutlivesAttempt"/>), and that it is lost: each says so in the attempt's store.
/// </summary>
public static class OutlivingRanks
{
    private const string LossKey = "loss";
    private static readonly TimeSpan TellLimit = TimeSpan.FromSeconds(5);

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

    /// <summary>
    /// For a rank that outlives its attempt: tells the launcher that the group is lost. The launcher sees the ends of processes, but a rank that is stopped, hangs or is
    /// cut off lives on; it is ended, and the next attempt begins.
    /// </summary>
    /// <param name="environment">Of the attempt.</param>
    /// <param name="envelope">Of the attempt.</param>
    /// <param name="loss">What ended the group; a <see cref="CollectiveException"/> may name the rank at fault.</param>
    public static async Task TellLossAsync(RankEnvironment environment, JobEnvelope envelope, Exception loss)
    {
        ArgumentNullException.ThrowIfNull(environment);
        ArgumentNullException.ThrowIfNull(envelope);
        ArgumentNullException.ThrowIfNull(loss);
        using var limit = new CancellationTokenSource(TellLimit);
        try
        {
            await using var store = GrpcStore.Connect(environment.StoreAddress ?? "", envelope.JobId, envelope.Secret);
            await store.SetAsync(LossKey, ErrorFile.Serialize(loss, DateTimeOffset.UtcNow), limit.Token);
        }
        catch (Exception exception) when (exception is RendezvousException or OperationCanceledException)
        {
            // The attempt's store has ended with it: its launcher knows.
        }
    }

    /// <summary>Returns once a rank that outlives the attempt has said that the group is lost.</summary>
    /// <param name="store">The attempt's store, in this process.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <returns>What that rank says of it.</returns>
    public static async Task<ErrorRecord> WaitForLossAsync(RendezvousStore store, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(store);
        while (true)
        {
            if (await store.GetChangedAsync(LossKey, known: null, TimeSpan.FromDays(1), cancellationToken) is { } value)
            {
                return ErrorFile.Parse(value) ?? new ErrorRecord("a rank has lost its group", null, null, null);
            }
        }
    }

    internal static Task AddAsync(RendezvousStore store, int rank, CancellationToken cancellationToken)
        => store.SetAsync(KeyOf(rank), "1"u8.ToArray(), cancellationToken);

    private static string KeyOf(int rank) => string.Create(CultureInfo.InvariantCulture, $"outlives/{rank}");
}
