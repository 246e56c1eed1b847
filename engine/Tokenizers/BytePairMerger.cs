namespace Distributed.Engine.Tokenizers;

/// <summary>
/// SentencePiece's byte-pair encoding (google/sentencepiece, src/bpe_model.cc): the text is a list of symbols, at first its characters;
/// again and again the two neighbours whose concatenation is the piece with the highest score become one, the leftmost of equals first.
/// </summary>
/// <remarks>
/// A heap of candidate pairs makes it O(n log n) in time and O(n) in memory, and nothing recurses: a run of one character is no worse
/// than prose.
/// </remarks>
internal sealed class BytePairMerger : PieceSegmenter
{
    private readonly SentencePieceModel _model;
    private readonly PieceTable _pieces;
    private readonly SortedPieces? _userDefined;

    /// <param name="model">Scores and kinds.</param>
    /// <param name="pieces">The pieces that text can become: neither control nor byte pieces.</param>
    /// <param name="userDefined">Those that are taken whole; <see langword="null"/> for none.</param>
    public BytePairMerger(SentencePieceModel model, PieceTable pieces, SortedPieces? userDefined)
    {
        _model = model;
        _pieces = pieces;
        _userDefined = userDefined;
    }

    /// <summary>Some bytes of the normalized text, in a list that a merge shortens; a symbol that was merged away has no bytes.</summary>
    private record struct Symbol(int Start, int ByteCount, int Previous, int Next, bool IsWhole);

    /// <summary>Two neighbours that are a piece together. Stale once either has changed, which its length tells.</summary>
    private readonly record struct Pair(int Left, int Right, int ByteCount);

    /// <inheritdoc/>
    public override void Run(ReadOnlySpan<byte> text, EmitPiece emit)
    {
        if (text.IsEmpty)
        {
            return;
        }

        var symbols = Split(text);
        var unusedSplits = new Dictionary<int, int>();    // id of an unused piece -> bytes of its left part
        var agenda = new PriorityQueue<Pair, ulong>(symbols.Length);
        for (var index = 1; index < symbols.Length; index++)
        {
            Propose(text, symbols, index - 1, index, agenda, unusedSplits);
        }

        while (agenda.TryDequeue(out var pair, out _))
        {
            ref var left = ref symbols[pair.Left];
            ref var right = ref symbols[pair.Right];
            if (left.ByteCount == 0 || right.ByteCount == 0 || left.ByteCount + right.ByteCount != pair.ByteCount)
            {
                continue;
            }

            left.ByteCount = pair.ByteCount;
            left.Next = right.Next;
            right.ByteCount = 0;
            if (right.Next >= 0)
            {
                symbols[right.Next].Previous = pair.Left;
            }

            Propose(text, symbols, left.Previous, pair.Left, agenda, unusedSplits);
            Propose(text, symbols, pair.Left, left.Next, agenda, unusedSplits);
        }

        for (var index = 0; index >= 0; index = symbols[index].Next)
        {
            Resegment(text.Slice(symbols[index].Start, symbols[index].ByteCount), unusedSplits, emit);
        }
    }

    private Symbol[] Split(ReadOnlySpan<byte> text)
    {
        var symbols = new List<Symbol>(text.Length / 2);
        for (var start = 0; start < text.Length;)
        {
            var whole = _userDefined?.LongestMatch(text[start..]) ?? 0;
            var length = whole > 0 ? whole : Math.Max(1, Utf8Prefix.Measure(text[start..]));
            symbols.Add(new Symbol(start, length, symbols.Count - 1, symbols.Count + 1, whole > 0));
            start += length;
        }

        symbols[^1] = symbols[^1] with { Next = -1 };
        return [.. symbols];
    }

    /// <summary>Puts two neighbours on the agenda where they are a piece together.</summary>
    private void Propose(
        ReadOnlySpan<byte> text, Symbol[] symbols, int left, int right,
        PriorityQueue<Pair, ulong> agenda, Dictionary<int, int> unusedSplits)
    {
        if (left < 0 || right < 0 || symbols[left].IsWhole || symbols[right].IsWhole)
        {
            return;
        }

        var byteCount = symbols[left].ByteCount + symbols[right].ByteCount;
        if (!_pieces.TryFind(text.Slice(symbols[left].Start, byteCount), out var id))
        {
            return;
        }

        var (_, score, kind) = _model.Pieces[id];
        agenda.Enqueue(new Pair(left, right, byteCount), Priority(score, left));
        if (kind == PieceKind.Unused)
        {
            unusedSplits[id] = symbols[left].ByteCount;
        }
    }

    /// <summary>Emits a symbol; one that is an unused piece served the merging only and falls apart into the two that made it.</summary>
    private void Resegment(ReadOnlySpan<byte> symbol, Dictionary<int, int> unusedSplits, EmitPiece emit)
    {
        if (!_pieces.TryFind(symbol, out var id) || !unusedSplits.ContainsKey(id))
        {
            emit(symbol, id);
            return;
        }

        var parts = new Stack<(int Start, int End)>([(0, symbol.Length)]);
        while (parts.TryPop(out var part))
        {
            var bytes = symbol[part.Start..part.End];
            if (_pieces.TryFind(bytes, out id) && unusedSplits.TryGetValue(id, out var leftByteCount))
            {
                parts.Push((part.Start + leftByteCount, part.End));
                parts.Push((part.Start, part.Start + leftByteCount));
            }
            else
            {
                emit(bytes, id);
            }
        }
    }

    /// <summary>Orders by score, highest first, then by position, leftmost first, as one integer: the smallest is next.</summary>
    private static ulong Priority(float score, int left)
    {
        var bits = BitConverter.SingleToUInt32Bits(score);
        var ascending = (bits & 0x8000_0000) != 0 ? ~bits : bits | 0x8000_0000;
        return ((ulong)~ascending << 32) | (uint)left;
    }
}
