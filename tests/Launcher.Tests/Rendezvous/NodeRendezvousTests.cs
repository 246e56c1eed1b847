using System.Net;
using System.Net.Sockets;
using Distributed.Collectives;
using Distributed.Launcher.Rendezvous;

namespace Distributed.Launcher.Tests.Rendezvous;

/// <summary>Nodes that meet in a real store: in memory, and served by one of them over TLS.</summary>
public sealed class NodeRendezvousTests
{
    private static readonly RendezvousLimits Quick = new()
    {
        JoinTimeout = TimeSpan.FromSeconds(20),
        LastCallTimeout = TimeSpan.FromMilliseconds(300),
        KeepAliveInterval = TimeSpan.FromMilliseconds(100),
        KeepAliveMaxAttempt = 30, // a busy machine is not to be taken for a silent one
    };

    // 44, 103
    [Fact]
    public async Task Join_OfTheMinimum_IsPlacedAfterTheLastCall()
    {
        await using var store = new InMemoryStore();
        await using var a = Node(store, "a", 2, 3);
        await using var b = Node(store, "b", 2, 3);
        var states = await Task.WhenAll(Join(a, "a"), Join(b, "b")).DefaultTimeout();
        Assert.All(states, state => Assert.Equal(["a", "b"], state.Participants.Select(node => node.Id).Order()));
        Assert.Equal(states[0].Version, states[1].Version);
    }

    // 105, 65
    [Fact]
    public async Task WaitForEnd_ANodeFallsSilent_ComesWithItsNameAndAnotherLifeTakesItsPlace()
    {
        await using var store = new InMemoryStore();
        await using var a = Node(store, "a", 2, 2, maxRestarts: 1);
        var b = Node(store, "b", 2, 2, maxRestarts: 1);
        var round = (await Task.WhenAll(Join(a, "a"), Join(b, "b")).DefaultTimeout())[0];
        await b.DisposeAsync(); // as killed: it leaves nothing but silence

        var end = await a.WaitForEndAsync(round, CancellationToken.None).DefaultTimeout();
        Assert.Equal("node b was lost: no sign of life for 3 s", end!.Cause);
        Assert.Equal((false, true), (end.IsFinal, end.IsCounted));
        await using var c = Node(store, "c", 2, 2, maxRestarts: 1);
        var next = (await Task.WhenAll(Join(a, "a", afterRound: 0), Join(c, "c")).DefaultTimeout())[0];
        Assert.Equal((1, 1), (next.Round, next.RestartCount));
    }

    // L10
    [Fact]
    public async Task EndRound_OnOneNode_IsTheCauseOnEachWithItsReport()
    {
        await using var store = new InMemoryStore();
        await using var a = Node(store, "a", 2, 2);
        await using var b = Node(store, "b", 2, 2);
        var round = (await Task.WhenAll(Join(a, "a"), Join(b, "b")).DefaultTimeout())[0];
        await a.EndRoundAsync(0, Nodes.Failure("a", isFinal: true), CancellationToken.None);
        await b.EndRoundAsync(0, Nodes.Failure("b", isFinal: true), CancellationToken.None);
        await a.PublishReportAsync(0, "a", "the report", CancellationToken.None);

        Assert.Equal("a", (await a.WaitForEndAsync(round, CancellationToken.None).DefaultTimeout())!.NodeId);
        Assert.Equal("a", (await b.WaitForEndAsync(round, CancellationToken.None).DefaultTimeout())!.NodeId);
        Assert.Equal("the report", await b.ReadReportAsync(0, "a", TimeSpan.FromSeconds(5), CancellationToken.None));
    }

    // 59
    [Fact]
    public async Task Finish_OfEachAtItsTime_LetsBothSucceed()
    {
        await using var store = new InMemoryStore();
        await using var a = Node(store, "a", 2, 2);
        await using var b = Node(store, "b", 2, 2);
        var round = (await Task.WhenAll(Join(a, "a"), Join(b, "b")).DefaultTimeout())[0];
        await a.FinishAsync(0, CancellationToken.None);
        var waiting = a.WaitForEndAsync(round, CancellationToken.None);
        await Task.Delay(100);
        Assert.False(waiting.IsCompleted);
        await b.FinishAsync(0, CancellationToken.None);

        Assert.Null(await waiting.DefaultTimeout());
        Assert.Null(await b.WaitForEndAsync(round, CancellationToken.None).DefaultTimeout());
        Assert.True(await a.LeaveAsync("ended"));
        Assert.True(await a.LeaveAsync("ended")); // 109
        var error = await Assert.ThrowsAsync<RendezvousClosedException>(() => Join(Node(store, "c", 2, 2), "c")).DefaultTimeout(); // 101
        Assert.StartsWith("The run is over", error.Message, StringComparison.Ordinal);
    }

    // L15
    [Fact]
    public async Task Join_Cancelled_FreesTheSeatAtOnce()
    {
        await using var store = new InMemoryStore();
        await using var a = Node(store, "a", 2, 2);
        using var cancellation = new CancellationTokenSource();
        var joining = a.JoinAsync(Nodes.Named("a"), -1, _ => { }, cancellation.Token);
        Assert.Single(RendezvousState.FromBytes(await store.GetAsync("rendezvous", TimeSpan.FromSeconds(20))).Nodes);
        await cancellation.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => joining).DefaultTimeout();
        var bytes = await store.GetAsync("rendezvous", TimeSpan.Zero);
        Assert.Empty(RendezvousState.FromBytes(bytes).Nodes);
    }

    // 104
    [Fact]
    public async Task Join_TooFewForTooLong_LeavesAndSaysWhoIsMissing()
    {
        await using var store = new InMemoryStore();
        await using var a = new NodeRendezvous(store, RendezvousDocument.Begin(2, 2, 0), "a", Quick with { JoinTimeout = TimeSpan.FromMilliseconds(200) });
        var error = await Assert.ThrowsAsync<RendezvousTimeoutException>(() => Join(a, "a")).DefaultTimeout();
        Assert.Contains("only 1 of 2 are here: a; missing: 1 more", error.Message, StringComparison.Ordinal);
        Assert.Empty(RendezvousState.FromBytes(await store.GetAsync("rendezvous", TimeSpan.Zero)).Nodes);
    }

    [Fact]
    public async Task Join_WithOtherSettingsThanTheRuns_IsRefusedNamingBoth()
    {
        await using var store = new InMemoryStore();
        await using var a = Node(store, "a", 1, 1);
        await using var b = Node(store, "b", 1, 2, maxRestarts: 3);
        await Join(a, "a").DefaultTimeout();
        var error = await Assert.ThrowsAsync<RendezvousClosedException>(() => Join(b, "b")).DefaultTimeout();
        Assert.Equal(
            "This node has --nnodes 1:2 --max-restarts 3, and the run was begun with --nnodes 1:1 --max-restarts 0; start every node with the same.", error.Message);
    }

    // 101 to 108, with one node that serves the store to the others over TLS and all of them writing at once
    [Fact]
    public async Task Join_OfManyNodesOverTls_AgreeOnEveryRound()
    {
        const int NodeCount = 6;
        var port = FreePort();
        var stores = await Task.WhenAll(Enumerable.Range(0, NodeCount).Select(_ => Open(port))).DefaultTimeout();
        Assert.Single(stores, store => store.IsServedHere); // 111: the others found the port taken, and connected
        var nodes = stores.Select((store, index) => Node(store.Store, $"n{index}", NodeCount, NodeCount, maxRestarts: 2)).ToArray();
        for (var round = 0; round < 3; round++)
        {
            var states = await Task.WhenAll(nodes.Select((node, index) => Join(node, $"n{index}", round - 1))).DefaultTimeout();
            Assert.All(states, state => Assert.Equal((round, states[0].Version), (state.Round, state.Version)));
            Assert.Equal(Enumerable.Range(0, NodeCount), nodes.Select((_, index) => NodePlacement.Of(states[0], $"n{index}").GroupRank).Order());
            if (round < 2)
            {
                await Task.WhenAll(nodes.Select((node, index) => node.EndRoundAsync(round, Nodes.Failure($"n{index}", isFinal: false), CancellationToken.None)));
            }
        }

        foreach (var node in nodes)
        {
            await node.DisposeAsync();
        }

        foreach (var store in stores.OrderBy(store => store.IsServedHere))
        {
            await store.DisposeAsync();
        }
    }

    [Fact]
    public async Task Open_WithTheWrongSecret_IsRefusedAtOnce()
    {
        using var files = new TemporaryFolder();
        File.WriteAllText(files["one"], new string('1', 32));
        File.WriteAllText(files["two"], new string('2', 32));
        foreach (var name in new[] { "one", "two" })
        {
            if (!OperatingSystem.IsWindows())
            {
                File.SetUnixFileMode(files[name], UnixFileMode.UserRead);
            }
        }

        var port = FreePort();
        await using var served = await Open(port, JobKey.Load(files["one"], "run")).DefaultTimeout();
        await Assert.ThrowsAsync<RendezvousRefusedException>(() => Open(port, JobKey.Load(files["two"], "run"))).DefaultTimeout();
        await Assert.ThrowsAsync<RendezvousRefusedException>(() => Open(port, JobKey.Load(files["one"], "another run"))).DefaultTimeout();
        await using var joined = await Open(port, JobKey.Load(files["one"], "run")).DefaultTimeout();
        Assert.False(joined.IsServedHere);
    }

    internal static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }

    private static Task<RunStore> Open(int port, JobKey? key = null) => RunStore.OpenAsync(
        new RunStoreOptions { Host = "127.0.0.1", Port = port }, key ?? JobKey.Load(null, "run"), "run", TimeSpan.FromSeconds(20), _ => { }, CancellationToken.None);

    private static NodeRendezvous Node(RendezvousStore store, string id, int minimum, int maximum, int maxRestarts = 0)
        => new(store, RendezvousDocument.Begin(minimum, maximum, maxRestarts), id, Quick);

    private static Task<RendezvousState> Join(NodeRendezvous node, string id, int afterRound = -1)
        => node.JoinAsync(Nodes.Named(id), afterRound, _ => { }, CancellationToken.None);
}
