using System.Net;
using System.Text;
using Distributed.Collectives.Launching;

namespace Distributed.Collectives.Tests;

/// <summary>The kinds of stores.</summary>
public enum StoreKind
{
    Memory,
    Unix,
    Tls,
    Etcd,
}

/// <summary>What every store does, in memory, over gRPC on a Unix socket and over TLS, and in etcd where that is installed.</summary>
public sealed class StoreTests(EtcdServer etcd) : IClassFixture<EtcdServer>
{
    private static readonly TimeSpan Short = TimeSpan.FromMilliseconds(50);
    private static readonly TimeSpan Long = TimeSpan.FromSeconds(20);

    public static TheoryData<StoreKind> Stores()
        => Requirements.MissingProgram("etcd") is null
            ? [StoreKind.Memory, StoreKind.Unix, StoreKind.Tls, StoreKind.Etcd] : [StoreKind.Memory, StoreKind.Unix, StoreKind.Tls];

    [Theory]
    [MemberData(nameof(Stores))]
    public Task Get_AfterSet_ReturnsTheLatestValue(StoreKind kind) => WithStore(kind, async store =>
    {
        await store.SetAsync("key", "one"u8.ToArray());
        await store.SetAsync("key", "two"u8.ToArray());
        await store.SetAsync("empty", ReadOnlyMemory<byte>.Empty);

        Assert.Equal("two"u8.ToArray(), await store.GetAsync("key", Long));
        Assert.Empty(await store.GetAsync("empty", Long));
    });

    [Theory]
    [MemberData(nameof(Stores))]
    public Task Get_OfAKeyThatComesLater_IsWokenByIt(StoreKind kind) => WithStore(kind, async store =>
    {
        var waiting = store.GetAsync("late", Long);
        await Task.Delay(Short);
        Assert.False(waiting.IsCompleted);
        await store.SetAsync("late", "now"u8.ToArray());

        Assert.Equal("now"u8.ToArray(), await waiting);
    });

    [Theory]
    [MemberData(nameof(Stores))]
    public Task Get_OfAKeyThatNeverComes_TimesOutNamingIt(StoreKind kind) => WithStore(kind, async store =>
    {
        var error = await Assert.ThrowsAsync<RendezvousTimeoutException>(() => store.GetAsync("never", Short));
        Assert.Equal("The rendezvous store has no value for never after 0.05 s.", error.Message);
    });

    [Theory]
    [MemberData(nameof(Stores))]
    public Task Wait_ForSomeThatNeverCome_NamesExactlyThose(StoreKind kind) => WithStore(kind, async store =>
    {
        await store.SetAsync("a", "1"u8.ToArray());
        await store.SetAsync("c", "1"u8.ToArray());
        var error = await Assert.ThrowsAsync<RendezvousTimeoutException>(() => store.WaitAsync(["a", "b", "c", "d"], Short));
        Assert.Equal("The rendezvous store has no value for b, d after 0.05 s.", error.Message);

        var waiting = store.WaitAsync(["a", "b"], Long);
        await store.SetAsync("b", "1"u8.ToArray());
        await waiting;
    });

    [Theory]
    [MemberData(nameof(Stores))]
    public Task Get_Cancelled_EndsAtOnce(StoreKind kind) => WithStore(kind, async store =>
    {
        using var cancellation = new CancellationTokenSource(Short);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => store.GetAsync("never", Long, cancellation.Token));
    });

    [Theory]
    [MemberData(nameof(Stores))]
    public Task Add_FromManyAtOnce_LosesNone(StoreKind kind) => WithStore(kind, async store =>
    {
        var sums = await Task.WhenAll(Enumerable.Range(0, 50).Select(_ => store.AddAsync("count", 2)));

        Assert.Equal(Enumerable.Range(1, 50).Select(i => 2L * i), sums.Order());
        Assert.Equal("100", Encoding.ASCII.GetString(await store.GetAsync("count", Long)));
        Assert.Equal(-5, await store.AddAsync("count", -105));
    });

    [Theory]
    [MemberData(nameof(Stores))]
    public Task Add_ToWhatIsNoNumberOrWouldOverflow_IsRefused(StoreKind kind) => WithStore(kind, async store =>
    {
        await store.SetAsync("text", "12x"u8.ToArray());
        await Assert.ThrowsAsync<RendezvousRefusedException>(() => store.AddAsync("text", 1));

        await store.AddAsync("most", long.MaxValue);
        await Assert.ThrowsAsync<RendezvousRefusedException>(() => store.AddAsync("most", 1));
        Assert.Equal(long.MaxValue - 1, await store.AddAsync("most", -1));
    });

    [Theory]
    [MemberData(nameof(Stores))]
    public Task CompareSet_FromManyAtOnce_HasOneWinner(StoreKind kind) => WithStore(kind, async store =>
    {
        var values = Enumerable.Range(1, 20).Select(i => new[] { (byte)i }).ToArray();
        var results = await Task.WhenAll(values.Select(value => store.CompareSetAsync("leader", ReadOnlyMemory<byte>.Empty, value)));

        var winner = Assert.Single(results.Select(result => result[0]).Distinct());
        Assert.Equal([winner], await store.GetAsync("leader", Long));
    });

    [Theory]
    [MemberData(nameof(Stores))]
    public Task CompareSet_ExpectingAnotherValue_ChangesNothing(StoreKind kind) => WithStore(kind, async store =>
    {
        Assert.Empty(await store.CompareSetAsync("key", "old"u8.ToArray(), "new"u8.ToArray()));
        await store.SetAsync("key", "a"u8.ToArray());
        Assert.Equal("a"u8.ToArray(), await store.CompareSetAsync("key", "b"u8.ToArray(), "c"u8.ToArray()));
        Assert.Equal("c"u8.ToArray(), await store.CompareSetAsync("key", "a"u8.ToArray(), "c"u8.ToArray()));
    });

    [Theory]
    [MemberData(nameof(Stores))]
    public Task Set_BeyondTheLimits_IsRefused(StoreKind kind) => WithStore(kind, async store =>
    {
        await store.SetAsync(new string('k', 256), new byte[64 << 10]);
        await Assert.ThrowsAsync<RendezvousRefusedException>(() => store.SetAsync(new string('k', 257), new byte[1]));
        await Assert.ThrowsAsync<RendezvousRefusedException>(() => store.SetAsync("", new byte[1]));
        await Assert.ThrowsAsync<RendezvousRefusedException>(() => store.SetAsync("k", new byte[(64 << 10) + 1]));
        await Assert.ThrowsAsync<RendezvousRefusedException>(
            () => store.WaitAsync([.. Enumerable.Range(0, 1001).Select(i => $"{i}")], Short));
    });

    [Fact]
    public async Task Set_OfMoreThanTheStoreHolds_IsRefusedAndTheStoreStillServes()
    {
        await using var store = new InMemoryStore();
        var value = new byte[64 << 10];
        var error = await Assert.ThrowsAsync<RendezvousRefusedException>(async () =>
        {
            for (var i = 0; ; i++)
            {
                await store.SetAsync($"{i}", value);
            }
        });

        Assert.Contains("full", error.Message, StringComparison.Ordinal);
        Assert.Equal(value.Length, (await store.GetAsync("0", Long)).Length);
        await store.SetAsync("0", ReadOnlyMemory<byte>.Empty);
        await store.SetAsync("room again", new byte[1000]);
    }

    [Fact]
    public async Task Set_OfMoreThan100000Keys_IsRefused()
    {
        await using var store = new InMemoryStore();
        for (var i = 0; i < 100_000; i++)
        {
            await store.SetAsync($"{i}", ReadOnlyMemory<byte>.Empty);
        }

        await Assert.ThrowsAsync<RendezvousRefusedException>(() => store.SetAsync("one more", ReadOnlyMemory<byte>.Empty));
        await store.SetAsync("5", new byte[10]);
    }

    [Theory]
    [MemberData(nameof(Stores))]
    public Task GetChanged_OfAKnownValue_IsWokenByAnother(StoreKind kind) => WithStore(kind, async store =>
    {
        Assert.Null(await store.GetChangedAsync("key", known: null, TimeSpan.Zero));
        await store.SetAsync("key", "one"u8.ToArray());
        Assert.Equal("one"u8.ToArray(), await store.GetChangedAsync("key", known: null, TimeSpan.Zero));
        Assert.Equal("one"u8.ToArray(), await store.GetChangedAsync("key", "zero"u8.ToArray(), TimeSpan.Zero));
        Assert.Null(await store.GetChangedAsync("key", "one"u8.ToArray(), Short));

        var waiting = Enumerable.Range(0, 3).Select(_ => store.GetChangedAsync("key", "one"u8.ToArray(), Long)).ToArray();
        await store.SetAsync("key", "one"u8.ToArray()); // the same again is no change
        await Task.Delay(Short);
        Assert.All(waiting, wait => Assert.False(wait.IsCompleted));
        await store.SetAsync("key", "two"u8.ToArray());
        Assert.All(await Task.WhenAll(waiting), value => Assert.Equal("two"u8.ToArray(), value));
    });

    [Fact]
    public async Task PrefixStore_OfTwoPrefixes_KeepsThemApart()
    {
        await using var store = new InMemoryStore();
        await using var first = new PrefixStore(store, "1/");
        await using var second = new PrefixStore(store, "2/");
        await first.SetAsync("key", "a"u8.ToArray());
        Assert.Equal(5, await second.AddAsync("key", 5));
        Assert.Equal("a"u8.ToArray(), await store.GetAsync("1/key", Short));
        var error = await Assert.ThrowsAsync<RendezvousTimeoutException>(() => second.WaitAsync(["key", "other"], Short));
        Assert.Equal("The rendezvous store has no value for other after 0.05 s.", error.Message);
    }

    private async Task WithStore(StoreKind kind, Func<RendezvousStore, Task> test)
    {
        switch (kind)
        {
            case StoreKind.Unix:
                await using (var job = await TestJob.StartAsync())
                await using (var store = job.Connect())
                {
                    await test(store).DefaultTimeout();
                }

                break;
            case StoreKind.Tls:
                var secret = JobSecret.Create();
                await using (var served = new InMemoryStore())
                await using (var server = await StoreServer.StartTlsAsync(new IPEndPoint(IPAddress.Loopback, 0), "job", secret, served))
                await using (var store = await GrpcStore.ConnectTlsAsync("127.0.0.1", new Uri(server.Address).Port, "job", secret, Long))
                {
                    await test(store).DefaultTimeout();
                }

                break;
            case StoreKind.Etcd:
                await using (var store = await EtcdStore.ConnectAsync(new EtcdOptions { Host = "127.0.0.1", Port = etcd.Port }, Guid.NewGuid().ToString("N")))
                {
                    await test(store).DefaultTimeout();
                }

                break;
            default:
                await using (var store = new InMemoryStore())
                {
                    await test(store).DefaultTimeout();
                }

                break;
        }
    }
}
