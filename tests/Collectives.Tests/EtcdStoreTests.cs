namespace Distributed.Collectives.Tests;

/// <summary>What is etcd's own; what every store does is in <see cref="StoreTests"/>.</summary>
public sealed class EtcdStoreTests(EtcdServer etcd) : IClassFixture<EtcdServer>
{
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(20);

    [EtcdFact]
    public async Task Keys_OfARunThatNobodyKeeps_Vanish()
    {
        var run = Guid.NewGuid().ToString("N");
        await using (var first = await Open(run, lifetime: TimeSpan.FromSeconds(1)))
        {
            await first.SetAsync("key", "value"u8.ToArray());
            await Task.Delay(TimeSpan.FromSeconds(3));
            Assert.NotNull(await first.GetChangedAsync("key", null, TimeSpan.Zero)); // kept while somebody is there
        }

        await Task.Delay(TimeSpan.FromSeconds(4));
        await using var again = await Open(run);
        Assert.Null(await again.GetChangedAsync("key", null, TimeSpan.Zero));
    }

    [EtcdFact]
    public async Task Erase_ByTheLast_RemovesAllKeysAtOnce()
    {
        var run = Guid.NewGuid().ToString("N");
        await using var first = await Open(run);
        await using (var second = await Open(run)) // joins the lease
        {
            await second.SetAsync("key", "value"u8.ToArray());
            Assert.Equal("value"u8.ToArray(), await first.GetAsync("key", Limit));
            await second.EraseAsync();
        }

        Assert.Null(await first.GetChangedAsync("key", null, TimeSpan.Zero));
        var error = await Assert.ThrowsAsync<RendezvousConnectionException>(() => first.SetAsync("key", "again"u8.ToArray()));
        Assert.Contains("lease not found", error.Message, StringComparison.Ordinal);
    }

    [EtcdFact]
    public async Task Connect_ToNobody_FailsInOneSentence()
    {
        var error = await Assert.ThrowsAsync<RendezvousConnectionException>(
            () => EtcdStore.ConnectAsync(new EtcdOptions { Host = "127.0.0.1", Port = 1 }, "run")).DefaultTimeout();
        Assert.StartsWith("etcd at 127.0.0.1:1 cannot be used: Connection refused", error.Message, StringComparison.Ordinal);
    }

    private Task<EtcdStore> Open(string run, TimeSpan? lifetime = null)
        => EtcdStore.ConnectAsync(new EtcdOptions { Host = "127.0.0.1", Port = etcd.Port, Lifetime = lifetime ?? TimeSpan.FromSeconds(60) }, run).DefaultTimeout();
}
