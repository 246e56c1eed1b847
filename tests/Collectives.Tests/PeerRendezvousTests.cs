using System.Diagnostics;
using System.Runtime.Versioning;
using Distributed.Collectives.Hosting;
using Distributed.Collectives.Launching;

namespace Distributed.Collectives.Tests;

/// <summary>How ranks find each other, and what they say when they do not.</summary>
public sealed class PeerRendezvousTests
{
    private static readonly PeerRendezvousOptions Quick = new() { Timeout = TimeSpan.FromSeconds(3.5) };

    [Fact]
    public async Task Join_OfAWorldOfOne_NeitherListensNorConnects()
    {
        using var group = await PeerRendezvous.JoinAsync(RankEnvironment.Alone, null!, new PeerRendezvousOptions());

        Assert.IsType<SingleProcessGroup>(group);
    }

    [Fact]
    public async Task Join_OfAllRanks_DescribesTheTransportAndCleansUpItsSockets()
    {
        await using var job = await TestJob.StartAsync();
        var world = await job.JoinAllAsync(3);
        Assert.Equal(["progress.0", "progress.1", "progress.2", "r0.sock", "r1.sock", "store.sock"], SocketsOf(job)); // the highest rank is dialled by nobody
        Assert.All(world, group => Assert.Equal("shared memory, 3 ranks on this host", group.TransportDescription));

        RankThreads.Run(world, group => group.Barrier());

        Assert.Equal(["store.sock"], SocketsOf(job));
    }

    [Fact]
    public async Task Join_WithRanksMissing_NamesExactlyThose()
    {
        await using var job = await TestJob.StartAsync();
        var joining = new[] { 0, 2 }.Select(rank => PeerRendezvous.JoinAsync(job.Environment(rank, 5), job.Envelope(rank), Quick)).ToArray();

        var zero = await Assert.ThrowsAsync<RendezvousTimeoutException>(() => joining[0]).DefaultTimeout();
        var two = await Assert.ThrowsAsync<RendezvousTimeoutException>(() => joining[1]).DefaultTimeout();

        Assert.Equal("Rank 0 of 5 waited 3.5 s for ranks 1, 3, 4, which did not join; their output says why.", zero.Message);
        Assert.Equal("Rank 2 of 5 waited 3.5 s for ranks 1, 3, 4, which did not join; their output says why.", two.Message);
        Assert.Equal(["store.sock"], SocketsOf(job));
    }

    [Fact]
    public async Task Join_Cancelled_EndsAtOnce()
    {
        await using var job = await TestJob.StartAsync();
        using var cancellation = new CancellationTokenSource(TimeSpan.FromMilliseconds(200));
        var watch = Stopwatch.StartNew();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(
            () => PeerRendezvous.JoinAsync(job.Environment(0, 2), job.Envelope(0), new PeerRendezvousOptions(), cancellation.Token)).DefaultTimeout();

        Assert.InRange(watch.Elapsed.TotalSeconds, 0.1, 10);
        Assert.Equal(["store.sock"], SocketsOf(job));
    }

    [Fact]
    public async Task Join_OfTwoProcessesAsOneRank_IsRefusedToTheSecond()
    {
        await using var job = await TestJob.StartAsync();
        var first = PeerRendezvous.JoinAsync(job.Environment(1, 2), job.Envelope(1), new PeerRendezvousOptions());
        await using (var store = job.Connect())
        {
            await store.GetAsync("peer/0/1", TimeSpan.FromSeconds(20)).DefaultTimeout();
        }

        var second = await Assert.ThrowsAsync<RendezvousConnectionException>(
            () => PeerRendezvous.JoinAsync(job.Environment(1, 2), job.Envelope(1), new PeerRendezvousOptions())).DefaultTimeout();
        Assert.Contains("Another process has joined epoch 0 of this job as rank 1", second.Message, StringComparison.Ordinal);

        var zero = PeerRendezvous.JoinAsync(job.Environment(0, 2), job.Envelope(0), new PeerRendezvousOptions());
        RankThreads.Run(await Task.WhenAll(zero, first).DefaultTimeout(), group => group.Barrier());
    }

    [Fact]
    public async Task Join_WithDifferentWorldSizes_SaysBothOnTheDialer()
    {
        await using var job = await TestJob.StartAsync();
        using var stop = new CancellationTokenSource();
        var zero = PeerRendezvous.JoinAsync(job.Environment(0, 2), job.Envelope(0), new PeerRendezvousOptions(), stop.Token);
        var error = await Assert.ThrowsAsync<RendezvousConnectionException>(
            () => PeerRendezvous.JoinAsync(job.Environment(1, 3), job.Envelope(1), new PeerRendezvousOptions())).DefaultTimeout();

        Assert.Contains("rank 1 was started with a world size of 3 and rank 0 with one of 2", error.Message, StringComparison.Ordinal);
        Assert.False(zero.IsCompleted);
        await stop.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => zero).DefaultTimeout();
    }

    [Fact]
    public async Task Join_OfTheNextEpoch_TakesTheSocketsThatTheLastOneLeftBehind()
    {
        await using var job = await TestJob.StartAsync();
        var stale = RuntimeDirectory.SocketOf(job.Directory, rank: 0);
        using (var killed = new System.Net.Sockets.Socket(System.Net.Sockets.AddressFamily.Unix, System.Net.Sockets.SocketType.Stream, 0))
        {
            // A file that nobody listens on: what SIGKILL leaves. Dispose would remove it, so it is moved away and back.
            killed.Bind(new System.Net.Sockets.UnixDomainSocketEndPoint(stale + "x"));
            File.Move(stale + "x", stale);
        }

        var world = await Task.WhenAll(
            PeerRendezvous.JoinAsync(job.Environment(0, 2), job.Envelope(0, epoch: 1), new PeerRendezvousOptions()),
            PeerRendezvous.JoinAsync(job.Environment(1, 2), job.Envelope(1, epoch: 1), new PeerRendezvousOptions())).DefaultTimeout();
        RankThreads.Run(world, group => group.Barrier());
    }

    [Fact]
    public async Task Join_WithTheWrongSecret_IsRefusedByTheStore()
    {
        await using var job = await TestJob.StartAsync();
        var error = await Assert.ThrowsAsync<RendezvousConnectionException>(
            () => PeerRendezvous.JoinAsync(job.Environment(0, 2), job.Envelope(0, secret: JobSecret.Create()), new PeerRendezvousOptions())).DefaultTimeout();

        Assert.Contains("does not accept this process", error.Message, StringComparison.Ordinal);
        Assert.Equal(["store.sock"], SocketsOf(job));
    }

    [Fact]
    public async Task Join_WithoutAStore_SaysThatItDidNotAnswer()
    {
        await using var job = await TestJob.StartAsync();
        var environment = job.Environment(0, 2) with { StoreAddress = $"unix:{job.Directory}/nobody.sock" };
        var error = await Assert.ThrowsAsync<RendezvousConnectionException>(
            () => PeerRendezvous.JoinAsync(environment, job.Envelope(0), Quick)).DefaultTimeout();

        Assert.Contains("nobody.sock did not answer within 3.5 s", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Join_WithAnEnvelopeForAnotherRank_IsRefused()
    {
        await using var job = await TestJob.StartAsync();
        var error = await Assert.ThrowsAsync<RendezvousConnectionException>(
            () => PeerRendezvous.JoinAsync(job.Environment(0, 2), job.Envelope(1), new PeerRendezvousOptions()));

        Assert.Contains("The job envelope is for rank 1 and RANK is 0", error.Message, StringComparison.Ordinal);
    }

    [UnixFact]
    [UnsupportedOSPlatform("windows")]
    public async Task Join_InADirectoryThatOthersCouldUse_IsRefusedWithTheReason()
    {
        await using var job = await TestJob.StartAsync();
        var open = Path.Combine(job.Directory, "open");
        Directory.CreateDirectory(open, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute | UnixFileMode.GroupExecute);
        var link = Path.Combine(job.Directory, "link");
        Directory.CreateSymbolicLink(link, job.Directory);
        var file = Path.Combine(job.Directory, "file");
        await File.WriteAllTextAsync(file, "");

        await AssertRefused(null, "DISTRUN_RUNTIME_DIR is not set");
        await AssertRefused(open, "has mode 710 and needs 700");
        await AssertRefused(link, "is a symbolic link");
        await AssertRefused(file, "is not a directory");
        await AssertRefused(Path.Combine(job.Directory, "absent"), "does not exist");

        async Task AssertRefused(string? directory, string reason)
        {
            var error = await Assert.ThrowsAsync<RendezvousConnectionException>(() => PeerRendezvous.JoinAsync(
                job.Environment(0, 2) with { RuntimeDirectory = directory }, job.Envelope(0), new PeerRendezvousOptions()));
            Assert.Contains(reason, error.Message, StringComparison.Ordinal);
        }
    }

    [UnixFact]
    public void Status_OfAnotherUsersDirectory_NamesTheOwner()
    {
        // The root directory belongs to user 0 wherever tests run; the check reads what the system says.
        var status = UnixFileStatus.TryRead("/");
        Assert.NotNull(status);
        Assert.Equal((true, false, 0u), (status.Value.IsDirectory, status.Value.IsLink, status.Value.OwnerId));
    }

    [UnixFact]
    [UnsupportedOSPlatform("windows")]
    public async Task Join_InADirectoryWithALongName_SaysHowLongASocketsPathMayBe()
    {
        await using var job = await TestJob.StartAsync();
        var directory = Path.Combine(job.Directory, new string('d', 80));
        Directory.CreateDirectory(directory, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        var error = await Assert.ThrowsAsync<RendezvousConnectionException>(() => PeerRendezvous.JoinAsync(
            job.Environment(0, 2) with { RuntimeDirectory = directory }, job.Envelope(0), new PeerRendezvousOptions())).DefaultTimeout();

        Assert.Contains("bytes and the system takes 100", error.Message, StringComparison.Ordinal);
    }

    private static string[] SocketsOf(TestJob job) => [.. Directory.GetFileSystemEntries(job.Directory).Select(path => Path.GetFileName(path)!).Order()];
}
