namespace Distributed.Engine.Tokenizers;

/// <summary>Finds the longest of a set of pieces that a text begins with: user-defined pieces are taken whole, before any merge.</summary>
internal sealed class PieceTrie
{
    private readonly Dictionary<(int Node, byte Next), int> _edges = [];
    private readonly HashSet<int> _ends = [];
    private int _nodeCount = 1;

    public void Add(ReadOnlySpan<byte> piece)
    {
        var node = 0;
        foreach (var value in piece)
        {
            if (!_edges.TryGetValue((node, value), out var next))
            {
                next = _nodeCount++;
                _edges.Add((node, value), next);
            }

            node = next;
        }

        _ends.Add(node);
    }

    /// <summary>Bytes of the longest piece at the start of <paramref name="text"/>; 0 for none.</summary>
    public int LongestMatch(ReadOnlySpan<byte> text)
    {
        int node = 0, longest = 0;
        for (var length = 0; length < text.Length && _edges.TryGetValue((node, text[length]), out node);)
        {
            length++;
            longest = _ends.Contains(node) ? length : longest;
        }

        return longest;
    }
}
