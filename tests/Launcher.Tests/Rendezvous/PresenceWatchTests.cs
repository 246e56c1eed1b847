using Distributed.Launcher.Rendezvous;

namespace Distributed.Launcher.Tests.Rendezvous;

/// <summary>Which nodes are taken for lost.</summary>
public sealed class PresenceWatchTests
{
    // 105
    [Fact]
    public void Observe_ANumberThatStandsStill_IsLostAfterTheTimeoutAndNotBefore()
    {
        var watch = new PresenceWatch("a", TimeSpan.FromSeconds(15));
        Assert.Empty(watch.Observe(Beats("1", "1"), TimeSpan.FromSeconds(100)));
        Assert.Empty(watch.Observe(Beats("2", "1"), TimeSpan.FromSeconds(110)));
        Assert.Equal(["c"], watch.Silences(TimeSpan.FromSeconds(114), TimeSpan.FromSeconds(5)).Keys);
        Assert.Empty(watch.Observe(Beats("3", "1"), TimeSpan.FromSeconds(114.9)));
        Assert.Equal(["c"], watch.Observe(Beats("4", "1"), TimeSpan.FromSeconds(115)));
    }

    [Fact]
    public void Observe_ANodeThatWasNotWatchedForAWhile_BeginsAnew()
    {
        var watch = new PresenceWatch("a", TimeSpan.FromSeconds(15));
        watch.Observe(Beats("1", "1"), TimeSpan.Zero);
        watch.Observe(new Dictionary<string, string>(), TimeSpan.FromSeconds(14));
        Assert.Empty(watch.Observe(Beats("1", "1"), TimeSpan.FromSeconds(20)));
    }

    [Fact]
    public void Watched_InALargeRun_CoversEveryNodeThreeTimes()
    {
        string[] ids = [.. Enumerable.Range(0, 10).Select(node => $"n{node}")];
        var state = ids.Aggregate(Nodes.Empty(10, 10), (state, id) => state.Join(Nodes.Named(id)));
        var watched = ids.SelectMany(id => new PresenceWatch(id, TimeSpan.FromSeconds(15)).Watched(state).Except([id]));
        Assert.All(watched.CountBy(id => id), count => Assert.Equal(3, count.Value));
        Assert.Equal(30, ids.Sum(id => new PresenceWatch(id, TimeSpan.FromSeconds(15)).Watched(state).Count));
    }

    private static Dictionary<string, string> Beats(string b, string c) => new() { ["b"] = b, ["c"] = c };
}
