using System.Globalization;
using System.Text;

namespace Distributed.Launcher.Rendezvous;

/// <summary>Who is here and who is missing, in one line, for those who wait.</summary>
internal static class WaitingReport
{
    private const int MaxNamed = 16;

    /// <summary>What a node that waits says every few seconds.</summary>
    /// <param name="state">The newest state.</param>
    /// <param name="self">This node.</param>
    /// <param name="toLastCall">What is left of the last call; <see langword="null"/> where there is none.</param>
    /// <param name="silences">Nodes that have given no sign of life for a while, and since when.</param>
    public static string Describe(RendezvousState state, NodeEntry self, TimeSpan? toLastCall, IReadOnlyDictionary<string, TimeSpan> silences)
    {
        var text = new StringBuilder();
        if (state.Spares.Any(node => node.Id == self.Id))
        {
            return Invariant($"standing by: {state.Participants.Count} of {state.MaxNodes} nodes run; this one takes the place of the next that goes.");
        }

        if (state.IsComplete)
        {
            text.Append(Invariant($"waiting for round {state.Round} to end, on {Names(state.Participants, silences)}"));
            return text.Append('.').ToString();
        }

        text.Append(Invariant($"waiting for nodes: {Count(state)} here: {Names(state.Participants, silences)}"));
        text.Append(Missing(state));
        if (toLastCall is { } left)
        {
            text.Append(Invariant($"; starting without more in {Math.Max(0, left.TotalSeconds):0} s"));
        }

        return text.Append('.').ToString();
    }

    /// <summary>The sentence for a rendezvous that did not come about.</summary>
    public static string Timeout(RendezvousState state, TimeSpan limit)
        => Invariant($"After {limit.TotalSeconds:0.###} s only {Count(state)} are here: {Names(state.Participants.Concat(state.Waiting), null)}{Missing(state)}; ")
            + "look at the output of the missing nodes, or give them longer with --rdzv-conf join_timeout=SECONDS.";

    private static string Count(RendezvousState state)
    {
        var count = state.IsComplete ? state.Nodes.Count() : state.Participants.Count;
        return state.MinNodes == state.MaxNodes ? Invariant($"{count} of {state.MaxNodes}") : Invariant($"{count} of {state.MinNodes} to {state.MaxNodes}");
    }

    private static string Names(IEnumerable<NodeEntry> nodes, IReadOnlyDictionary<string, TimeSpan>? silences)
    {
        NodeEntry[] ordered = [.. nodes.Order(NodeOrder.Instance)];
        var names = ordered.Take(MaxNamed).Select(node =>
        {
            var rank = node.DeclaredRank is { } declared ? Invariant($"{declared} = {node.Host}") : node.Host;
            return silences?.TryGetValue(node.Id, out var silence) is true ? Invariant($"{rank} (silent for {silence.TotalSeconds:0} s)") : rank;
        });
        var more = ordered.Length > MaxNamed ? Invariant($" and {ordered.Length - MaxNamed} more") : "";
        return ordered.Length == 0 ? "none" : string.Join(", ", names) + more;
    }

    private static string Missing(RendezvousState state)
    {
        var missing = state.MaxNodes - state.Participants.Count;
        if (missing <= 0 || state.IsComplete)
        {
            return "";
        }

        if (state.MinNodes == state.MaxNodes && state.Participants.All(node => node.DeclaredRank is not null))
        {
            var ranks = Enumerable.Range(0, state.MaxNodes).Except(state.Participants.Select(node => node.DeclaredRank!.Value)).ToArray();
            var named = string.Join(", ", ranks.Take(MaxNamed));
            var more = ranks.Length > MaxNamed ? Invariant($" and {ranks.Length - MaxNamed} more") : "";
            return Invariant($"; missing: node rank {named}{more}");
        }

        var needed = Math.Max(0, state.MinNodes - state.Participants.Count);
        return needed > 0 ? Invariant($"; missing: {needed} more") : Invariant($"; {missing} more may come");
    }

    private static string Invariant(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
