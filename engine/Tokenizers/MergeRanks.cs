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
    // Keyed at random for each process: a file cannot be made to collide.
    private static readonly ulong Key = (ulong)Random.Shared.NextInt64() | 1;

    private readonly Merge[] _merges; // a merge lies where its pair's hash says, or in the next free place
    private int _count;

    /// <param name="capacity">The most merges.</param>
    public ListedMerges(int capacity) => _merges = new Merge[capacity + (capacity / 2) + 1];

    /// <summary>Appends a merge; false where the pair is there already.</summary>
    public bool TryAdd(int left, int right, int merged)
    {
        ref var place = ref _merges[Find(left, right)];
        if (place.Number != 0)
        {
            return false;
        }

        place = new Merge(left, right, ++_count, merged);
        return true;
    }

    public override bool TryFind(int left, int right, ReadOnlySpan<byte> bytes, out int rank, out int merged)
    {
        ref readonly var merge = ref _merges[Find(left, right)];
        (rank, merged) = (merge.Number - 1, merge.Merged);
        return merge.Number != 0;
    }

    // The place of a pair, or the free one where it would be.
    private int Find(int left, int right)
    {
        var hash = (((ulong)(uint)left << 32) | (uint)right) * Key;
        hash = (hash ^ (hash >> 32)) * Key;
        var place = (int)(((hash >> 32) * (ulong)_merges.Length) >> 32);
        while (_merges[place].Number != 0 && (_merges[place].Left != left || _merges[place].Right != right))
        {
            place = place + 1 == _merges.Length ? 0 : place + 1;
        }

        return place;
    }

    // The rank and one, 0 for a free place.
    private readonly record struct Merge(int Left, int Right, int Number, int Merged);
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
