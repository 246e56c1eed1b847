using System.Text;

namespace Distributed.Engine.Tokenizers;

/// <summary>
/// Byte-pair encoding as tokenizer.json and tiktoken describe it: over bytes (Llama 3, Qwen, SmolLM), or over characters with U+2581 for a space
/// and bytes for what the vocabulary lacks (Llama 2, Mistral).
/// </summary>
internal sealed class BytePairTokenizer : Tokenizer
{
    private static readonly byte[] Space = [.. "\u2581"u8];

    private readonly BytePairModel _model;
    private readonly PieceTable _pieces;
    private readonly SortedPieces? _added; // tokens that are taken whole wherever they stand; null for none
    private readonly PieceTable _special;

    /// <exception cref="TokenizerFormatException">The model contradicts itself.</exception>
    public BytePairTokenizer(BytePairModel model)
    {
        _model = model;
        var tokens = model.Tokens;
        var ids = Enumerable.Range(0, tokens.Count);
        _pieces = new PieceTable(ids.Count(id => tokens.Kind(id) != TokenKind.Special), tokens.Memory);
        _special = new PieceTable(ids.Count(IsNamed), tokens.Memory);
        for (var id = 0; id < tokens.Count; id++)
        {
            if (tokens.Kind(id) != TokenKind.Special ? !_pieces.TryAdd(id) : IsNamed(id) && !_special.TryAdd(id))
            {
                throw model.Error($"has the {(tokens.Kind(id) == TokenKind.Special ? "special token" : "token")} {id} twice");
            }
        }

        if (ids.Any(id => tokens.Kind(id) == TokenKind.Added))
        {
            _added = new SortedPieces(ids.Where(id => tokens.Kind(id) == TokenKind.Added), tokens.Memory);
        }

        bool IsNamed(int id) => tokens.Kind(id) == TokenKind.Special && tokens.Bytes(id).Length > 0;
    }

    public override string Kind
        => $"{(_model.IsByteLevel ? "BPE over bytes" : "BPE over characters")} ({(_model.Path.EndsWith(".json", StringComparison.OrdinalIgnoreCase) ? "tokenizer.json" : "tiktoken")})";

    public override int VocabularySize => _model.Tokens.Count;

    public override int BosId => _model.BosId;

    public override int EosId => _model.EosId;

    public override int SpecialId(string token) => _special.TryFind(Encoding.UTF8.GetBytes(token), out var id) ? id : -1;

    public override string Piece(int id)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(id);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(id, VocabularySize);
        return Encoding.UTF8.GetString(_model.Tokens.Bytes(id));
    }

    public override int[] Encode(string text, bool bos, bool eos)
    {
        var ids = new List<int>((text.Length / 3) + 8);
        if (bos && BosId >= 0)
        {
            ids.Add(BosId);
        }

        var merger = new RankMerger(_model.Merges);
        var bytes = Encoding.UTF8.GetBytes(_model.NormalizesToFormC ? FormC.Normalize(text) : text).AsSpan();
        while (!bytes.IsEmpty)
        {
            var length = BeforeAdded(bytes, out var added);
            EncodeSegment(bytes[..length], merger, ids);
            if (added > 0)
            {
                _pieces.TryFind(bytes.Slice(length, added), out var id);
                ids.Add(id);
            }

            bytes = bytes[(length + added)..];
        }

        if (eos && EosId >= 0)
        {
            ids.Add(EosId);
        }

        return [.. ids];
    }

    internal override ReadOnlySpan<byte> BytesOf(int id)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(id);
        if (id >= VocabularySize || _model.Tokens.Kind(id) == TokenKind.Special)
        {
            return [];
        }

        var value = _model.IsByteLevel ? -1 : _model.ByteOf(id);
        return _model.IsByteLevel || _model.Tokens.Kind(id) == TokenKind.Added ? _model.Tokens.Bytes(id)
            : value >= 0 ? BytePairModel.SingleBytes.Slice(value, 1)
            : [];
    }

    internal override string TextOf(int id, bool atStart, out bool startConsumed)
    {
        startConsumed = false;
        if (id >= VocabularySize || _model.Tokens.Kind(id) == TokenKind.Special)
        {
            return "";
        }

        var text = Encoding.UTF8.GetString(_model.Tokens.Bytes(id)).Replace('\u2581', ' ');
        startConsumed = atStart && _model.AddsDummyPrefix && text.StartsWith(' ');
        return startConsumed ? text[1..] : text;
    }

    // Bytes in front of the first token that is taken whole; 0 for its length where there is none.
    private int BeforeAdded(ReadOnlySpan<byte> text, out int added)
    {
        added = 0;
        if (_added is null)
        {
            return text.Length;
        }

        for (var start = 0; start < text.Length; start++)
        {
            added = _added.LongestMatch(text[start..]);
            if (added > 0)
            {
                return start;
            }
        }

        return text.Length;
    }

    private void EncodeSegment(ReadOnlySpan<byte> text, RankMerger merger, List<int> ids)
    {
        if (!_model.IsByteLevel)
        {
            EncodeCharacters(text, merger, ids);
            return;
        }

        while (!text.IsEmpty)
        {
            var word = text[..WordScanner.FirstWord(text, _model.Split)];
            text = text[word.Length..];
            if (_model.TakesWholeWords && _pieces.TryFind(word, out var whole))
            {
                ids.Add(whole);
                continue;
            }

            merger.Begin();
            foreach (var value in word)
            {
                merger.Add(_model.ByteIds[value], 1);
            }

            merger.Run(word, ids);
        }
    }

    private void EncodeCharacters(ReadOnlySpan<byte> text, RankMerger merger, List<int> ids)
    {
        if (text.IsEmpty)
        {
            return;
        }

        var normalized = SpaceNormalizer.Normalize(text, _model.AddsDummyPrefix, removeExtraWhitespaces: false, userDefined: null);
        merger.Begin();
        for (var start = 0; start < normalized.Length;)
        {
            var length = normalized[start..].StartsWith(Space) ? Space.Length : Math.Max(1, Utf8Prefix.Measure(normalized[start..]));
            var character = normalized.Slice(start, length);
            start += length;
            if (_pieces.TryFind(character, out var id))
            {
                merger.Add(id, length);
                continue;
            }

            foreach (var value in character)
            {
                merger.Add(_model.ByteIds[value], 1);
            }
        }

        merger.Run(normalized, ids);
    }
}
