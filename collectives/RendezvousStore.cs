namespace Distributed.Collectives;

/// <summary>
/// A small key-value store through which the ranks of a job find each other: torch.distributed's <c>Store</c>
/// (set, get, wait, add, compare_set) with a limit on every wait.
/// </summary>
/// <remarks>
/// Safe for use from several threads. Keys have at most 256 characters, values at most 64 KiB; a request that exceeds a limit is a
/// <see cref="RendezvousRefusedException"/>.
/// </remarks>
public abstract class RendezvousStore : IAsyncDisposable
{
    /// <summary>Stores <paramref name="value"/> under <paramref name="key"/>, over an older value if there is one.</summary>
    /// <exception cref="RendezvousConnectionException">The store cannot be reached.</exception>
    public abstract Task SetAsync(string key, ReadOnlyMemory<byte> value, CancellationToken cancellationToken = default);

    /// <summary>Returns the value under <paramref name="key"/>, waiting until there is one.</summary>
    /// <exception cref="RendezvousTimeoutException">No value came within <paramref name="timeout"/>.</exception>
    /// <exception cref="RendezvousConnectionException">The store cannot be reached.</exception>
    public async Task<byte[]> GetAsync(string key, TimeSpan timeout, CancellationToken cancellationToken = default)
        => await GetChangedAsync(key, known: null, timeout, cancellationToken) ?? throw StoreLimits.Missing([key], timeout);

    /// <summary>
    /// Returns the value under <paramref name="key"/> as soon as there is one that differs from <paramref name="known"/>: how a value that
    /// several processes change is watched.
    /// </summary>
    /// <param name="key">The key.</param>
    /// <param name="known">The value that the caller has seen last; <see langword="null"/> for none, so that any value will do.</param>
    /// <param name="timeout">How long to wait.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <returns>The value; <see langword="null"/> if there was none, or still the known one, when the time ran out.</returns>
    /// <exception cref="RendezvousConnectionException">The store cannot be reached.</exception>
    public abstract Task<byte[]?> GetChangedAsync(
        string key, ReadOnlyMemory<byte>? known, TimeSpan timeout, CancellationToken cancellationToken = default);

    /// <summary>Returns when every one of <paramref name="keys"/> has a value.</summary>
    /// <exception cref="RendezvousTimeoutException">Some were missing after <paramref name="timeout"/>; the message names them.</exception>
    /// <exception cref="RendezvousConnectionException">The store cannot be reached.</exception>
    public async Task WaitAsync(IReadOnlyList<string> keys, TimeSpan timeout, CancellationToken cancellationToken = default)
    {
        var missing = await WaitForAsync(keys, timeout, cancellationToken);
        if (missing.Count > 0)
        {
            throw StoreLimits.Missing(missing, timeout);
        }
    }

    /// <summary>Adds <paramref name="delta"/> to the number under <paramref name="key"/> (0 where there is none) and returns the sum.</summary>
    /// <remarks>The number is kept as its decimal ASCII digits, as torch's stores keep it.</remarks>
    /// <exception cref="RendezvousConnectionException">The store cannot be reached.</exception>
    public abstract Task<long> AddAsync(string key, long delta, CancellationToken cancellationToken = default);

    /// <summary>
    /// Stores <paramref name="desired"/> if the value under <paramref name="key"/> equals <paramref name="expected"/> (empty: if there is
    /// none), and returns the value that is there afterwards.
    /// </summary>
    /// <exception cref="RendezvousConnectionException">The store cannot be reached.</exception>
    public abstract Task<byte[]> CompareSetAsync(
        string key, ReadOnlyMemory<byte> expected, ReadOnlyMemory<byte> desired, CancellationToken cancellationToken = default);

    /// <summary>Waits for all keys; returns those that are still missing when the time has run out.</summary>
    internal abstract Task<IReadOnlyList<string>> WaitForAsync(IReadOnlyList<string> keys, TimeSpan timeout, CancellationToken cancellationToken);

    /// <inheritdoc/>
    public virtual ValueTask DisposeAsync()
    {
        GC.SuppressFinalize(this);
        return ValueTask.CompletedTask;
    }
}
