using System.Security.Cryptography;
using Distributed.Collectives;

namespace Distributed.Launcher.Rendezvous;

/// <summary>The state of a run in its store: read, watched, and replaced by compare-and-set. For use from several threads.</summary>
/// <param name="store">The run's; the caller disposes it.</param>
/// <param name="initial">What there is before the first node has written.</param>
internal sealed class RendezvousDocument(RendezvousStore store, RendezvousState initial)
{
    private const string Key = "rendezvous";
    private const int NonceByteCount = 16;

    private Known _known = new([], initial); // no bytes: nothing is known to be in the store

    /// <summary>The newest state that is known.</summary>
    public RendezvousState State => Volatile.Read(ref _known).State;

    /// <summary>What a run begins with.</summary>
    public static RendezvousState Begin(int minNodes, int maxNodes, int maxRestarts) => new()
    {
        Nonce = Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(NonceByteCount)),
        MinNodes = minNodes,
        MaxNodes = maxNodes,
        MaxRestarts = maxRestarts,
    };

    /// <summary>Returns when a state is known that is newer than <paramref name="seen"/>, or the time has run out.</summary>
    public async Task RefreshAsync(RendezvousState seen, TimeSpan limit, CancellationToken cancellationToken)
    {
        var known = Volatile.Read(ref _known);
        if (known.State.Version == seen.Version)
        {
            ReadOnlyMemory<byte>? bytes = known.Bytes.Length == 0 ? default(ReadOnlyMemory<byte>?) : known.Bytes;
            if (await store.GetChangedAsync(Key, bytes, limit, cancellationToken) is { } changed)
            {
                Take(changed);
            }
        }
    }

    /// <summary>Applies a change to the newest state, again where others were first, until it is in the store or changes nothing.</summary>
    /// <param name="change">A rule; called with states that are ever newer.</param>
    /// <param name="cancellationToken">Ends the attempts.</param>
    public async Task UpdateAsync(Func<RendezvousState, RendezvousState> change, CancellationToken cancellationToken)
    {
        while (State is var state && change(state) is var next && !ReferenceEquals(next, state))
        {
            if (await TryWriteAsync(state, next, cancellationToken))
            {
                return;
            }
        }
    }

    /// <summary>Puts <paramref name="next"/> in the place of <paramref name="from"/>, from which it was made.</summary>
    /// <returns>Whether it is in the store; if not, a newer one is known.</returns>
    public async Task<bool> TryWriteAsync(RendezvousState from, RendezvousState next, CancellationToken cancellationToken)
    {
        var known = Volatile.Read(ref _known);
        if (!ReferenceEquals(known.State, from))
        {
            return false;
        }

        var bytes = (next with { Version = from.Version + 1 }).ToBytes();
        var present = await store.CompareSetAsync(Key, known.Bytes, bytes, cancellationToken);
        if (present.Length == 0)
        {
            throw new RendezvousConnectionException("The store has lost the rendezvous of this run; start all its nodes anew.");
        }

        Take(present);
        return present.AsSpan().SequenceEqual(bytes);
    }

    // Answers may overtake each other; the newest stays.
    private void Take(byte[] bytes)
    {
        var taken = new Known(bytes, RendezvousState.FromBytes(bytes));
        while (Volatile.Read(ref _known) is var known && (known.Bytes.Length == 0 || taken.State.Version > known.State.Version))
        {
            if (Interlocked.CompareExchange(ref _known, taken, known) == known)
            {
                return;
            }
        }
    }

    private sealed record Known(byte[] Bytes, RendezvousState State);
}
