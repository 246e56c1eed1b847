using Distributed.Collectives;
using Distributed.Launcher.Rendezvous;

namespace Distributed.Launcher.Tests.Rendezvous;

/// <summary>What a node does that wants to be in a round.</summary>
public sealed class JoinStepTests
{
    private static readonly RendezvousLimits Limits = new();

    // 101
    [Fact]
    public void Next_RunIsClosed_FailsWithItsCause()
    {
        var state = Nodes.Complete(1, 1, "a").EndRound(Nodes.Failure("a", isFinal: true));
        var failure = Assert.IsType<JoinStep.Fail>(Next(state, Nodes.Named("b")));
        Assert.Equal("The run is over: rank 0 on a failed.", Assert.IsType<RendezvousClosedException>(failure.Cause).Message);
    }

    // 101
    [Fact]
    public void Next_InACompleteRound_IsPlacedAndAfterItRejoins()
    {
        var state = Nodes.Complete(1, 1, "a");
        Assert.IsType<JoinStep.Placed>(Next(state, Nodes.Named("a")));
        var rejoined = Assert.IsType<JoinStep.Write>(JoinStep.Next(state, Nodes.Named("a"), afterRound: 0, default, Limits)).State;
        Assert.Equal(1, rejoined.Round);
        Assert.IsType<JoinStep.Placed>(JoinStep.Next(rejoined, Nodes.Named("a"), afterRound: 0, default, Limits));
    }

    [Fact]
    public void Next_InARoundThatHasEndedAlready_GoesOnToTheNext()
    {
        var state = Nodes.Complete(2, 3, "a", "b", "c").Remove("b", "was lost");
        var step = Assert.IsType<JoinStep.Write>(Next(state, Nodes.Named("a"))); // a world without b would fit nobody else's
        Assert.Equal(["a"], step.State.Waiting.Select(node => node.Id));
    }

    // 103
    [Theory]
    [InlineData(29, false)]
    [InlineData(31, true)]
    public void Next_DuringTheLastCall_CompletesWhenItHasPassed(int seconds, bool completes)
    {
        var state = Nodes.Empty(1, 2).Join(Nodes.Named("a"));
        var step = JoinStep.Next(state, Nodes.Named("a"), -1, new JoinWaits(default, TimeSpan.FromSeconds(seconds), default), Limits);
        Assert.Equal(completes, step is JoinStep.Write { State.IsComplete: true });
    }

    // 104
    [Fact]
    public void Next_TooFewForTooLong_FailsNamingWhoIsHere()
    {
        var state = Nodes.Empty(3, 3).Join(Nodes.Named("node2")).Join(Nodes.Named("node1"));
        var late = new JoinWaits(TimeSpan.FromSeconds(601), default, default);
        var failure = Assert.IsType<JoinStep.Fail>(JoinStep.Next(state, Nodes.Named("node1"), -1, late, Limits));
        Assert.StartsWith(
            "After 600 s only 2 of 3 are here: node1, node2; missing: 1 more; ", Assert.IsType<RendezvousTimeoutException>(failure.Cause).Message, StringComparison.Ordinal);
    }

    // 102
    [Fact]
    public void Next_ForASpare_NeverTimesOut()
    {
        var state = Nodes.Complete(1, 1, "a").Join(Nodes.Named("b"));
        var late = new JoinWaits(TimeSpan.FromDays(3), default, default);
        Assert.IsType<JoinStep.Wait>(JoinStep.Next(state, Nodes.Named("b"), -1, late, Limits));
    }

    [Fact]
    public void Next_NodeRankIsTaken_WaitsForTheEarlierLauncherAndThenFails()
    {
        var state = Nodes.Empty(2, 2).Join(Nodes.Named("a") with { DeclaredRank = 1 });
        var twin = Nodes.Named("b") with { DeclaredRank = 1 };
        Assert.IsType<JoinStep.Wait>(Next(state, twin)); // it may be a life of this node that was killed
        var failure = Assert.IsType<JoinStep.Fail>(JoinStep.Next(state, twin, -1, new JoinWaits(default, default, TimeSpan.FromSeconds(26)), Limits));
        Assert.Equal("Node rank 1 is taken by a, which is alive; give each node a --node-rank of its own.", failure.Cause.Message);
        Assert.IsType<JoinStep.Write>(Next(state.Remove("a", "was lost"), twin));
    }

    [Fact]
    public void Describe_WhileWaiting_SaysWhoIsHereAndWhoIsMissing()
    {
        var none = new Dictionary<string, TimeSpan>();
        var a = Nodes.Named("a") with { DeclaredRank = 2 };
        var state = Nodes.Empty(4, 4).Join(a).Join(Nodes.Named("b") with { DeclaredRank = 0 });
        Assert.Equal("waiting for nodes: 2 of 4 here: 0 = b, 2 = a; missing: node rank 1, 3.", WaitingReport.Describe(state, a, null, none));

        state = Nodes.Empty(1, 3).Join(Nodes.Named("a")).Join(Nodes.Named("b"));
        Assert.Equal(
            "waiting for nodes: 2 of 1 to 3 here: a, b (silent for 9 s); 1 more may come; starting without more in 12 s.",
            WaitingReport.Describe(state, Nodes.Named("a"), TimeSpan.FromSeconds(12), new Dictionary<string, TimeSpan> { ["b"] = TimeSpan.FromSeconds(9) }));
    }

    private static JoinStep Next(RendezvousState state, NodeEntry node) => JoinStep.Next(state, node, -1, default, Limits);
}
