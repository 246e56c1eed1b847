namespace Distributed.Engine.Tokenizers;

/// <summary>
/// SentencePiece's unigram model (google/sentencepiece, src/unigram_model.cc, EncodeOptimized; Kudo, arXiv:1804.10959): of all ways to cut
/// the text into pieces the one whose scores, logarithms of probabilities, have the greatest sum.
/// </summary>
/// <remarks>
/// Viterbi's algorithm: for each place in the text the best way to it, from left to right. The time is that of the text's length times
/// the longest piece's, whatever the text, and nothing recurses. Sums are rounded where the reference rounds them, so that ties fall alike.
/// </remarks>
internal sealed class UnigramSegmenter : PieceSegmenter
{
    // What an unknown character costs more than the least probable piece.
    private const float UnknownPenalty = 10;

    // Of a user-defined piece, whose score is otherwise the highest for each of its bytes: so it is taken.
    private const double UserDefinedPenalty = 0.1;

    // C's FLT_MIN, from which the reference begins to look for the highest score: it stays where all are negative.
    private const float LeastMaxScore = 1.17549435e-38f;

    private readonly SentencePieceModel _model;
    private readonly SortedPieces _pieces;
    private readonly float _unknownScore;
    private readonly float _maxScore;

    /// <param name="model">Pieces, scores and kinds.</param>
    public UnigramSegmenter(SentencePieceModel model)
    {
        _model = model;
        _pieces = new SortedPieces(
            Enumerable.Range(0, model.Pieces.Count).Where(id => model.Pieces[id].Kind is PieceKind.Normal or PieceKind.UserDefined),
            id => model.Pieces[id].Utf8);
        var scores = model.Pieces.Where(piece => piece.Kind == PieceKind.Normal).Select(piece => piece.Score);
        _unknownScore = scores.DefaultIfEmpty(float.MaxValue).Min() - UnknownPenalty;
        _maxScore = scores.Append(LeastMaxScore).Max();
    }

    /// <summary>The best way to a place: its last piece, and what it has cost.</summary>
    /// <param name="Id">Of the piece; -1 for an unknown character.</param>
    /// <param name="Start">Where the piece begins; -1 while no way is known.</param>
    /// <param name="Score">The sum of scores.</param>
    private record struct Way(int Id, int Start, float Score);

    /// <inheritdoc/>
    public override void Run(ReadOnlySpan<byte> text, EmitPiece emit)
    {
        var ways = new Way[text.Length + 1]; // [end]
        Array.Fill(ways, new Way(-1, -1, 0));
        for (var start = 0; start < text.Length;)
        {
            var characterLength = Math.Max(1, Utf8Prefix.Measure(text[start..]));
            if (!TakePieces(text, start, characterLength, ways))
            {
                Offer(ref ways[start + characterLength], -1, start, _unknownScore + ways[start].Score);
            }

            start += characterLength;
        }

        EmitBest(text, ways, emit);
    }

    // Every piece that begins here; whether one of them is the character that stands here, alone.
    private bool TakePieces(ReadOnlySpan<byte> text, int start, int characterLength, Way[] ways)
    {
        var hasCharacter = false;
        var cursor = _pieces.At(text[start]);
        for (var end = start + 1; !cursor.IsEmpty; end++)
        {
            if (cursor.Id is >= 0 and var id)
            {
                var length = end - start;
                var score = _model.Pieces[id].Kind == PieceKind.UserDefined ? (length * _maxScore) - UserDefinedPenalty : _model.Pieces[id].Score;
                Offer(ref ways[end], id, start, score + ways[start].Score);
                hasCharacter |= length == characterLength;
            }

            if (end == text.Length)
            {
                break;
            }

            cursor.Advance(text[end]);
        }

        return hasCharacter;
    }

    private static void Offer(ref Way way, int id, int start, double score)
    {
        if (way.Start < 0 || score > way.Score)
        {
            way = new Way(id, start, (float)score);
        }
    }

    private static void EmitBest(ReadOnlySpan<byte> text, Way[] ways, EmitPiece emit)
    {
        var ends = new Stack<int>();
        for (var end = text.Length; end > 0; end = ways[end].Start)
        {
            ends.Push(end);
        }

        foreach (var end in ends)
        {
            emit(text[ways[end].Start..end], ways[end].Id);
        }
    }
}
