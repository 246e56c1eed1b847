using Distributed.Collectives.Launching;

namespace Distributed.Launcher.Rendezvous;

/// <summary>
/// What may become of a <see cref="RendezvousState"/>: pure functions, each of which returns the state as it is where there is nothing to
/// change. Every process applies them to the newest state that it knows and writes the result by compare-and-set.
/// </summary>
internal static class RendezvousRules
{
    /// <summary>
    /// A node comes. While the round is being gathered it takes part; afterwards it waits, which ends the round, or stands by where the
    /// round is full.
    /// </summary>
    public static RendezvousState Join(this RendezvousState state, NodeEntry node)
    {
        if (state.IsClosed || state.Find(node.Id) is not null)
        {
            return state;
        }

        node = node with { Seat = state.SeatCount };
        state = state with { SeatCount = state.SeatCount + 1 };
        if (!state.IsComplete)
        {
            return Advance(state with { Participants = [.. state.Participants, node] });
        }

        if (state.End is null && state.Participants.Count == state.MaxNodes)
        {
            return state with { Spares = [.. state.Spares, node] };
        }

        state = state with { Waiting = [.. state.Waiting, node] };
        return EndForNewcomer(state, node);
    }

    /// <summary>The last call has passed: those who are here make up the round.</summary>
    public static RendezvousState Complete(this RendezvousState state)
        => state.IsComplete || state.IsClosed || state.Participants.Count < state.MinNodes ? state : state with { IsComplete = true, LastCall = 0 };

    /// <summary>A participant's ranks have ended with the round; it wants to be in the next one.</summary>
    /// <param name="state">The state.</param>
    /// <param name="node">The node as it will be in the next round; its seat stays.</param>
    public static RendezvousState Rejoin(this RendezvousState state, NodeEntry node)
    {
        if (state.IsClosed || !state.IsComplete || !state.IsParticipant(node.Id))
        {
            return state;
        }

        node = node with { Seat = state.Find(node.Id)!.Seat, HasFinished = false };
        state = Without(state, node.Id);
        return Advance(state with { Waiting = [.. state.Waiting, node] });
    }

    /// <summary>
    /// Why the round ends. The first cause stays. Ranks that have succeeded are not run again, so with some of them it is the end of the run.
    /// </summary>
    public static RendezvousState EndRound(this RendezvousState state, RoundEnd end)
    {
        if (!state.IsComplete || state.End is not null || state.IsClosed)
        {
            return state;
        }

        end = end with { IsFinal = end.IsFinal || state.Participants.Any(node => node.HasFinished) };
        return state with { End = end, IsClosed = end.IsFinal };
    }

    /// <summary>All ranks of a participant have succeeded. With the last of them the run is over.</summary>
    public static RendezvousState Finish(this RendezvousState state, string id)
    {
        if (!state.IsComplete || state.End is not null || state.Find(id) is not { HasFinished: false } || !state.IsParticipant(id))
        {
            return state;
        }

        state = WithParticipant(state, state.Find(id)! with { HasFinished = true });
        return state.Participants.All(node => node.HasFinished) ? state with { IsClosed = true } : state;
    }

    /// <summary>A node goes, or is lost. That ends its round, unless its part in it is done.</summary>
    /// <param name="state">The state.</param>
    /// <param name="id">The node.</param>
    /// <param name="cause">What became of it, a clause that follows its name: "was lost".</param>
    public static RendezvousState Remove(this RendezvousState state, string id, string cause)
    {
        if (state.Find(id) is not { } node)
        {
            return state;
        }

        if (node.HasFinished && state.End is null && !state.IsClosed)
        {
            return WithParticipant(state, node with { HasLeft = true });
        }

        var breaksRound = state.IsComplete && state.End is null && !state.IsClosed && state.IsParticipant(id);
        state = Without(state, id);
        return Advance(breaksRound ? EndForLoss(state, node, cause) : state);
    }

    private static RendezvousState Without(RendezvousState state, string id) => state with
    {
        Participants = [.. state.Participants.Where(node => node.Id != id)],
        Waiting = [.. state.Waiting.Where(node => node.Id != id)],
        Spares = [.. state.Spares.Where(node => node.Id != id)],
    };

    private static RendezvousState WithParticipant(RendezvousState state, NodeEntry changed)
        => state with { Participants = [.. state.Participants.Select(node => node.Id == changed.Id ? changed : node)] };

    private static RendezvousState EndForNewcomer(RendezvousState state, NodeEntry node)
        => state.Participants.Any(other => other.HasFinished) ? state : state.EndRound(new RoundEnd
        {
            NodeId = node.Id,
            Host = node.Host,
            Cause = $"node {node.Host} joins",
            ExitCode = ExitCodes.GroupFailed,
            IsFinal = false,
        });

    /// <summary>
    /// Where enough nodes are left the others go on, as an elastic job is meant to; else the loss counts as a failure, and the next round
    /// waits for the node to come back.
    /// </summary>
    private static RendezvousState EndForLoss(RendezvousState state, NodeEntry node, string cause)
    {
        var isEnough = state.Nodes.Count() >= state.MinNodes;
        return state.EndRound(new RoundEnd
        {
            NodeId = node.Id,
            Host = node.Host,
            Cause = $"node {node.Host} {cause}",
            ExitCode = ExitCodes.GroupFailed,
            IsFinal = !isEnough && state.RestartCount >= state.MaxRestarts,
            IsCounted = !isEnough,
        });
    }

    /// <summary>Begins a round when all have left the last one, and settles it when it is full.</summary>
    private static RendezvousState Advance(RendezvousState state)
    {
        if (state.IsClosed)
        {
            return state;
        }

        if (state.IsComplete && state.Participants.Count == 0)
        {
            NodeEntry[] nodes = [.. state.Waiting.Concat(state.Spares).OrderBy(node => node.Seat)];
            state = state with
            {
                Round = state.Round + 1,
                RestartCount = state.RestartCount + (state.End is { IsCounted: true } ? 1 : 0),
                IsComplete = false,
                End = null,
                LastCall = 0,
                Participants = [.. nodes.Take(state.MaxNodes)],
                Waiting = [],
                Spares = [.. nodes.Skip(state.MaxNodes)],
            };
        }

        if (state.IsComplete)
        {
            return state;
        }

        if (state.Participants.Count < state.MaxNodes && state.Spares.Count > 0)
        {
            var first = state.Spares.MinBy(node => node.Seat)!;
            return Advance(Without(state, first.Id) with { Participants = [.. state.Participants, first] });
        }

        return state.Participants.Count == state.MaxNodes ? state.Complete()
            : state.Participants.Count < state.MinNodes ? state with { LastCall = 0 }
            : state.LastCall > 0 ? state
            : state with { LastCall = state.LastCallCount + 1, LastCallCount = state.LastCallCount + 1 };
    }
}
