namespace Distributed.Launcher.Rendezvous;

/// <summary>
/// Which of the other nodes still live. Each counts up a number of its own; a node whose number has stood still for too long, by this
/// node's clock, is lost. Each node watches the few that follow it in the order of their ids, so that the load grows with the number of
/// nodes and not with its square.
/// </summary>
/// <param name="selfId">This node.</param>
/// <param name="timeout">How long a number may stand still.</param>
internal sealed class PresenceWatch(string selfId, TimeSpan timeout)
{
    private const int WatchedCount = 3;

    private readonly Dictionary<string, (string Beat, TimeSpan Since)> _seen = new(StringComparer.Ordinal);

    /// <summary>The nodes that this one watches.</summary>
    public IReadOnlyList<string> Watched(RendezvousState state)
    {
        string[] ring = [.. state.Nodes.Select(node => node.Id).Where(id => id != selfId).Order(StringComparer.Ordinal)];
        var next = Array.FindIndex(ring, id => string.CompareOrdinal(id, selfId) > 0);
        var first = next < 0 ? 0 : next;
        return [.. Enumerable.Range(0, Math.Min(WatchedCount, ring.Length)).Select(offset => ring[(first + offset) % ring.Length])];
    }

    /// <summary>What the watched nodes' numbers are now.</summary>
    /// <param name="beats">By node; "" for one that has none yet.</param>
    /// <param name="now">Of this node's clock.</param>
    /// <returns>The nodes that are lost.</returns>
    public IReadOnlyList<string> Observe(IReadOnlyDictionary<string, string> beats, TimeSpan now)
    {
        foreach (var id in _seen.Keys.Except(beats.Keys).ToArray())
        {
            _seen.Remove(id);
        }

        foreach (var (id, beat) in beats)
        {
            if (!_seen.TryGetValue(id, out var seen) || seen.Beat != beat)
            {
                _seen[id] = (beat, now);
            }
        }

        return [.. _seen.Where(seen => now - seen.Value.Since >= timeout).Select(seen => seen.Key)];
    }

    /// <summary>The watched nodes that have been silent for longer than a sign of life should take.</summary>
    public IReadOnlyDictionary<string, TimeSpan> Silences(TimeSpan now, TimeSpan interval)
        => _seen.Where(seen => now - seen.Value.Since > interval * 1.5).ToDictionary(seen => seen.Key, seen => now - seen.Value.Since);
}
