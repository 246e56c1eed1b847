namespace Distributed.Engine.Tokenizers;

/// <summary>Which two neighbours become one, and which first.</summary>
internal abstract class MergeRanks
{
    /// <summary>Whether two tokens merge.</summary>
    /// <param name="left">The left token's id.</param>
    /// <param name="right">The right token's id.</param>
    /// <param name="bytes">The text of both.</param>
    /// <param name="rank">The lowest goes first.</param>
    /// <param name="merged">The id of what they become.</param>
    public abstract bool TryFind(int left, int right, ReadOnlySpan<byte> bytes, out int rank, out int merged);
}

/// <summary>The list of merges of a tokenizer.json, in its order.</summary>
internal sealed class ListedMerges : MergeRanks
{
    private readonly Dictionary<(int Left, int Right), (int Rank, int Merged)> _merges = [];

    /// <summary>Appends a merge; false where the pair is there already.</summary>
    public bool TryAdd(int left, int right, int merged) => _merges.TryAdd((left, right), (_merges.Count, merged));

    public override bool TryFind(int left, int right, ReadOnlySpan<byte> bytes, out int rank, out int merged)
    {
        var found = _merges.TryGetValue((left, right), out var merge);
        (rank, merged) = merge;
        return found;
    }
}

/// <summary>tiktoken's rule: neighbours whose bytes together are a token become it, and a token's id is its rank.</summary>
internal sealed class RankedTokens(PieceTable tokens) : MergeRanks
{
    public override bool TryFind(int left, int right, ReadOnlySpan<byte> bytes, out int rank, out int merged)
    {
        var found = tokens.TryFind(bytes, out merged);
        rank = merged;
        return found;
    }
}
