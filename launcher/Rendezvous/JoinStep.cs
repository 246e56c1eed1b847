using Distributed.Collectives;

namespace Distributed.Launcher.Rendezvous;

/// <summary>What a node that wants to be in a round does next, given the newest state and how long it has seen what it waits for.</summary>
internal abstract record JoinStep
{
    private JoinStep()
    {
    }

    /// <summary>To write <paramref name="State"/>, and look again.</summary>
    public sealed record Write(RendezvousState State) : JoinStep;

    /// <summary>To wait for a change.</summary>
    public sealed record Wait : JoinStep;

    /// <summary>The node is in a round that is complete.</summary>
    public sealed record Placed(RendezvousState State) : JoinStep;

    /// <summary>It cannot be.</summary>
    public sealed record Fail(RendezvousException Cause) : JoinStep;

    /// <summary>Decides.</summary>
    /// <param name="state">The newest state.</param>
    /// <param name="node">This node, as it wants to take part.</param>
    /// <param name="afterRound">The round that it has left, or -1: only a later one will do.</param>
    /// <param name="waits">How long this node has waited, by its own clock.</param>
    /// <param name="limits">How long it may.</param>
    public static JoinStep Next(RendezvousState state, NodeEntry node, int afterRound, JoinWaits waits, RendezvousLimits limits)
    {
        var here = state.Find(node.Id);
        if (state.IsClosed)
        {
            return new Fail(new RendezvousClosedException(state.End is { } end
                ? $"The run is over: {end.Cause}."
                : "The run is over: its ranks have ended. Choose another --rdzv-id for a new one."));
        }

        if (here is null)
        {
            return ConflictOf(state, node) is not { } conflict ? new Write(state.Join(node))
                : waits.SinceConflict > limits.KeepAliveTimeout + (2 * limits.KeepAliveInterval) ? new Fail(conflict)
                : new Wait();
        }

        if (state.IsComplete && state.IsParticipant(node.Id))
        {
            // A round that has ended before this node looked is missed as a whole: part of its nodes may have gone.
            return state.Round > afterRound && state.End is null ? new Placed(state) : new Write(state.Rejoin(node));
        }

        var isSpare = state.Spares.Any(other => other.Id == node.Id);
        if (waits.SinceStart > limits.JoinTimeout && !isSpare)
        {
            return new Fail(new RendezvousTimeoutException(WaitingReport.Timeout(state, limits.JoinTimeout)));
        }

        return state.LastCall > 0 && waits.SinceLastCall > limits.LastCallTimeout && !state.IsComplete
            ? new Write(state.Complete())
            : new Wait();
    }

    /// <summary>Another launcher that has this node's declared rank, or other settings of the run.</summary>
    private static RendezvousClosedException? ConflictOf(RendezvousState state, NodeEntry node)
        => state.Nodes.FirstOrDefault(other => node.DeclaredRank is not null && other.DeclaredRank == node.DeclaredRank) is { } twin
            ? new RendezvousClosedException(
                $"Node rank {node.DeclaredRank} is taken by {twin.Host}, which is alive; give each node a --node-rank of its own.")
            : null;
}

/// <summary>How long a node has waited.</summary>
/// <param name="SinceStart">Since it began to join.</param>
/// <param name="SinceLastCall">Since it has seen the present last call; zero where there is none.</param>
/// <param name="SinceConflict">Since it has seen another launcher in its place; zero where there is none.</param>
internal readonly record struct JoinWaits(TimeSpan SinceStart, TimeSpan SinceLastCall, TimeSpan SinceConflict);
