namespace Distributed.Collectives;

/// <summary>A part of a store: every key gets a prefix, so that those who share the store do not meet (torch's PrefixStore).</summary>
/// <param name="store">The whole; its owner disposes it.</param>
/// <param name="prefix">Counts towards the length of a key.</param>
public sealed class PrefixStore(RendezvousStore store, string prefix) : RendezvousStore
{
    /// <inheritdoc/>
    public override Task SetAsync(string key, ReadOnlyMemory<byte> value, CancellationToken cancellationToken = default)
        => store.SetAsync(prefix + key, value, cancellationToken);

    /// <inheritdoc/>
    public override Task<byte[]?> GetChangedAsync(
        string key, ReadOnlyMemory<byte>? known, TimeSpan timeout, CancellationToken cancellationToken = default)
        => store.GetChangedAsync(prefix + key, known, timeout, cancellationToken);

    /// <inheritdoc/>
    public override Task<long> AddAsync(string key, long delta, CancellationToken cancellationToken = default)
        => store.AddAsync(prefix + key, delta, cancellationToken);

    /// <inheritdoc/>
    public override Task<byte[]> CompareSetAsync(
        string key, ReadOnlyMemory<byte> expected, ReadOnlyMemory<byte> desired, CancellationToken cancellationToken = default)
        => store.CompareSetAsync(prefix + key, expected, desired, cancellationToken);

    internal override async Task<IReadOnlyList<string>> WaitForAsync(
        IReadOnlyList<string> keys, TimeSpan timeout, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(keys);
        var missing = await store.WaitForAsync([.. keys.Select(key => prefix + key)], timeout, cancellationToken);
        return [.. missing.Select(key => key[prefix.Length..])];
    }
}
