namespace Distributed.Engine.Tokenizers;

/// <summary>
/// Byte-pair encoding by the rank of merges (Sennrich et al., arXiv:1508.07909; huggingface/tokenizers, models/bpe/word.rs): of all neighbours
/// that merge, the two of the lowest rank become one, the leftmost of equals first.
/// </summary>
/// <remarks>A heap of candidate pairs makes it O(n log n) in time and O(n) in memory, and nothing recurses.</remarks>
internal sealed class RankMerger(MergeRanks ranks)
{
    private readonly PriorityQueue<(int Left, int Right, int ByteCount, int Merged), ulong> _agenda = new();
    private Symbol[] _symbols = [];
    private int _count;

    private record struct Symbol(int Id, int Start, int ByteCount, int Previous, int Next);

    /// <summary>Empties the list of symbols.</summary>
    public void Begin() => _count = 0;

    /// <summary>Appends a symbol: so many more bytes of the text, and their id.</summary>
    public void Add(int id, int byteCount)
    {
        if (_count == _symbols.Length)
        {
            Array.Resize(ref _symbols, Math.Max(64, 2 * _count));
        }

        var start = _count == 0 ? 0 : _symbols[_count - 1].Start + _symbols[_count - 1].ByteCount;
        _symbols[_count] = new Symbol(id, start, byteCount, _count - 1, _count + 1);
        _count++;
    }

    /// <summary>Merges all that merges and appends the ids.</summary>
    /// <param name="text">The bytes of the symbols.</param>
    /// <param name="ids">The result goes behind what it has.</param>
    public void Run(ReadOnlySpan<byte> text, List<int> ids)
    {
        if (_count == 0)
        {
            return;
        }

        _symbols[_count - 1].Next = -1;
        for (var index = 1; index < _count; index++)
        {
            Propose(text, index - 1, index);
        }

        while (_agenda.TryDequeue(out var pair, out _))
        {
            ref var left = ref _symbols[pair.Left];
            ref var right = ref _symbols[pair.Right];

            // Stale once either has changed: a symbol that was merged away has no bytes, one that grew has more.
            if (left.ByteCount == 0 || right.ByteCount == 0 || left.ByteCount + right.ByteCount != pair.ByteCount)
            {
                continue;
            }

            left = left with { Id = pair.Merged, ByteCount = pair.ByteCount, Next = right.Next };
            right.ByteCount = 0;
            if (left.Next >= 0)
            {
                _symbols[left.Next].Previous = pair.Left;
                Propose(text, pair.Left, left.Next);
            }

            if (left.Previous >= 0)
            {
                Propose(text, left.Previous, pair.Left);
            }
        }

        for (var index = 0; index >= 0; index = _symbols[index].Next)
        {
            ids.Add(_symbols[index].Id);
        }
    }

    private void Propose(ReadOnlySpan<byte> text, int left, int right)
    {
        var byteCount = _symbols[left].ByteCount + _symbols[right].ByteCount;
        if (ranks.TryFind(_symbols[left].Id, _symbols[right].Id, text.Slice(_symbols[left].Start, byteCount), out var rank, out var merged))
        {
            _agenda.Enqueue((left, right, byteCount, merged), ((ulong)(uint)rank << 32) | (uint)left);
        }
    }
}
