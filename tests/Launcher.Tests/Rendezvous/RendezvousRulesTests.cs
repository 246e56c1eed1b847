using Distributed.Launcher.Rendezvous;

namespace Distributed.Launcher.Tests.Rendezvous;

/// <summary>What may become of a rendezvous; the numbers are those of torchrun's behaviours in docs/torchrun-parity.md.</summary>
public sealed class RendezvousRulesTests
{
    // 103
    [Fact]
    public void Join_OfTheLastOfTheMaximum_CompletesTheRoundAtOnce()
    {
        var state = Nodes.Empty(2, 2).Join(Nodes.Named("a"));
        Assert.False(state.IsComplete);
        state = state.Join(Nodes.Named("b"));

        Assert.True(state.IsComplete);
        Assert.Equal(["a", "b"], state.Participants.Select(node => node.Id));
    }

    // 103
    [Fact]
    public void Complete_AfterTheLastCall_SettlesWithFewerThanTheMaximum()
    {
        var state = Nodes.Empty(2, 4).Join(Nodes.Named("a"));
        Assert.Same(state, state.Complete()); // too few
        Assert.Equal(0, state.LastCall);
        state = state.Join(Nodes.Named("b"));
        Assert.Equal(1, state.LastCall);
        Assert.Equal(1, state.Join(Nodes.Named("c")).LastCall); // the call does not begin anew with each that comes

        state = state.Complete();
        Assert.True(state.IsComplete);
        Assert.Equal(2, state.Participants.Count);
    }

    [Fact]
    public void Remove_BelowTheMinimum_TakesTheLastCallBack()
    {
        var state = Nodes.Empty(2, 4).Join(Nodes.Named("a")).Join(Nodes.Named("b")).Remove("b", "left");
        Assert.Equal(0, state.LastCall);
        state = state.Join(Nodes.Named("c"));
        Assert.Equal(2, state.LastCall); // another one, which everybody times from its beginning
    }

    // 102, 64
    [Fact]
    public void Join_OfACompleteRoundBelowTheMaximum_WaitsAndEndsTheRoundWithoutCost()
    {
        var state = Nodes.Empty(1, 2).Join(Nodes.Named("a")).Complete().Join(Nodes.Named("b"));
        Assert.Equal(["b"], state.Waiting.Select(node => node.Id));
        Assert.Equal((false, false), (state.End!.IsFinal, state.End.IsCounted));

        state = state.Rejoin(Nodes.Named("a"));
        Assert.Equal((1, 0, true), (state.Round, state.RestartCount, state.IsComplete));
        Assert.Equal(["a", "b"], state.Participants.Select(node => node.Id).Order());
        Assert.Null(state.End);
    }

    // 102
    [Fact]
    public void Join_OfAFullRound_StandsByAndTakesThePlaceOfOneThatGoes()
    {
        var state = Nodes.Complete(2, 2, "a", "b").Join(Nodes.Named("c"));
        Assert.Equal(["c"], state.Spares.Select(node => node.Id));
        Assert.Null(state.End);

        state = state.Remove("b", "was lost").Rejoin(Nodes.Named("a"));
        Assert.True(state.IsComplete);
        Assert.Equal(["a", "c"], state.Participants.Select(node => node.Id).Order());
    }

    // 101
    [Fact]
    public void Join_OfAClosedRun_ChangesNothing()
    {
        var closed = Nodes.Complete(1, 1, "a").Finish("a");
        Assert.True(closed.IsClosed);
        Assert.Same(closed, closed.Join(Nodes.Named("b")));
    }

    // 66
    [Fact]
    public void Remove_WithEnoughNodesLeft_EndsTheRoundWithoutCost()
    {
        var state = Nodes.Complete(1, 2, "a", "b").Remove("b", "was lost");
        Assert.Equal((false, false), (state.End!.IsFinal, state.End.IsCounted));
        Assert.Equal("node b was lost", state.End.Cause);

        state = state.Rejoin(Nodes.Named("a"));
        Assert.Equal((1, 0, false), (state.Round, state.RestartCount, state.IsComplete));
    }

    // 65
    [Fact]
    public void Remove_WithTooFewLeft_CountsAndWaitsForTheNodeToComeBack()
    {
        var state = Nodes.Complete(2, 2, maxRestarts: 1, "a", "b").Remove("b", "was lost");
        Assert.Equal((false, true), (state.End!.IsFinal, state.End.IsCounted));
        state = state.Rejoin(Nodes.Named("a"));
        Assert.Equal((1, 1, false), (state.Round, state.RestartCount, state.IsComplete));
        Assert.True(state.Join(Nodes.Named("b2")).IsComplete);
    }

    // 62
    [Fact]
    public void Remove_WithTooFewLeftAndNoRestarts_EndsTheRun()
    {
        var state = Nodes.Complete(2, 2, "a", "b").Remove("b", "was lost");
        Assert.True(state.End!.IsFinal);
        Assert.True(state.IsClosed);
    }

    [Fact]
    public void Remove_OfARunningNodeAfterOthersHaveSucceeded_EndsTheRun()
    {
        var state = Nodes.Complete(1, 2, maxRestarts: 9, "a", "b").Finish("a").Remove("b", "was lost");
        Assert.True(state.End!.IsFinal); // what has succeeded is not run again
        Assert.True(Nodes.Complete(2, 2, maxRestarts: 9, "a", "b").Finish("a").EndRound(Nodes.Failure("b", isFinal: false)).IsClosed);
    }

    // 59
    [Fact]
    public void Finish_OfTheLastNode_ClosesTheRun()
    {
        var state = Nodes.Complete(2, 2, "a", "b").Finish("b");
        Assert.False(state.IsClosed);
        state = state.Finish("a");
        Assert.True(state.IsClosed);
        Assert.Null(state.End);
        Assert.Same(state, state.Finish("a"));
    }

    [Fact]
    public void Remove_OfANodeThatHasFinished_DisturbsNobody()
    {
        var state = Nodes.Complete(2, 2, "a", "b").Finish("b").Remove("b", "was lost");
        Assert.Null(state.End);
        Assert.Equal(["a"], state.Nodes.Select(node => node.Id));
        Assert.Equal(2, NodePlacement.Of(state, "a").WorldSize); // for whoever looks only now
        Assert.True(state.Finish("a").IsClosed);
    }

    // L10
    [Fact]
    public void EndRound_Twice_KeepsTheFirstCause()
    {
        var state = Nodes.Complete(2, 2, "a", "b").EndRound(Nodes.Failure("a", isFinal: true));
        Assert.True(state.IsClosed);
        Assert.Same(state, state.EndRound(Nodes.Failure("b", isFinal: false)));
    }

    // 67, 108
    [Fact]
    public void Rejoin_OfAllNodes_BeginsTheNextRoundWhenTheLastHasLeft()
    {
        var state = Nodes.Complete(2, 2, maxRestarts: 3, "a", "b").EndRound(Nodes.Failure("a", isFinal: false)).Rejoin(Nodes.Named("a", port: 5));
        Assert.Equal((0, true), (state.Round, state.IsComplete)); // b still runs
        state = state.Rejoin(Nodes.Named("b"));

        Assert.Equal((1, 1, true), (state.Round, state.RestartCount, state.IsComplete));
        Assert.Equal(5, state.Find("a")!.MasterPort);
    }

    [Fact]
    public void FromBytes_OfEveryField_IsWhatWasWritten()
    {
        var state = Nodes.Complete(1, 3, "a", "b", "c").Finish("a").Join(Nodes.Named("d") with { DeclaredRank = 3, Role = "other" })
            .EndRound(Nodes.Failure("b", isFinal: false) with { BackoffSeconds = 1.5, HasReport = true });
        var copy = RendezvousState.FromBytes(state.ToBytes());

        Assert.Equal(state.Participants, copy.Participants);
        Assert.Equal(state.Spares, copy.Spares);
        Assert.Equal(state.End, copy.End);
        Assert.Equal(state with { Participants = [], Waiting = [], Spares = [], End = null }, copy with { Participants = [], Waiting = [], Spares = [], End = null });
        Assert.Throws<Distributed.Collectives.RendezvousConnectionException>(() => RendezvousState.FromBytes("no json"u8));
    }

    [Fact]
    public void ToBytes_OfTheLargestRun_FitsIntoAValueOfTheStore()
    {
        var state = Nodes.Empty(1, RendezvousState.MaxNodeCount);
        for (var node = 0; node < RendezvousState.MaxNodeCount; node++)
        {
            state = state.Join(Nodes.Named(FormattableString.Invariant($"{node:x16}")) with
            {
                Host = new string('h', 63),
                Address = new string('a', 63),
                DeclaredRank = node,
                HasFinished = true,
            });
        }

        Assert.True(state.IsComplete);
        Assert.InRange(state.ToBytes().Length, 1, 64 << 10);
    }
}

/// <summary>Nodes and states of the tests.</summary>
internal static class Nodes
{
    public static RendezvousState Empty(int minimum, int maximum, int maxRestarts = 0)
        => new() { Nonce = "nonce", MinNodes = minimum, MaxNodes = maximum, MaxRestarts = maxRestarts };

    public static NodeEntry Named(string id, int ranks = 1, int port = 1, string role = "default") => new()
    {
        Id = id,
        Host = id,
        LocalWorldSize = ranks,
        Role = role,
        Address = $"{id}.example",
        MasterPort = port,
    };

    public static RendezvousState Complete(int minimum, int maximum, params string[] ids) => Complete(minimum, maximum, 0, ids);

    public static RendezvousState Complete(int minimum, int maximum, int maxRestarts, params string[] ids)
        => ids.Aggregate(Empty(minimum, maximum, maxRestarts), (state, id) => state.Join(Named(id))).Complete();

    public static RoundEnd Failure(string id, bool isFinal)
        => new() { NodeId = id, Host = id, Cause = $"rank 0 on {id} failed", ExitCode = 3, IsFinal = isFinal, IsCounted = true };
}
