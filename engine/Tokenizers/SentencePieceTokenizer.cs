using System.Globalization;
using System.Text;

namespace Distributed.Engine.Tokenizers;

/// <summary>
/// A SentencePiece model, byte-pair encoding as Llama 1 and 2 have it or unigram, with the ids and the text that the reference implementation
/// gives. Safe for use by several threads at once.
/// </summary>
public sealed class SentencePieceTokenizer : Tokenizer
{
    private static readonly string[] ByteNames
        = [.. Enumerable.Range(0, 256).Select(value => string.Create(CultureInfo.InvariantCulture, $"<0x{value:X2}>"))];

    private readonly SentencePieceModel _model;
    private readonly PieceSegmenter _segmenter;
    private readonly PieceTable _otherPieces;    // those that are no text
    private readonly SortedPieces? _userDefined;    // null where the model defines none, as Llama's
    private readonly string?[] _texts;    // [id], U+2581 as a space; null while nobody has asked for it
    private readonly int[] _byteIds = [.. Enumerable.Repeat(-1, 256)];    // [byte]
    private readonly short[] _bytes;      // [id], -1 where the piece is no byte

    private SentencePieceTokenizer(SentencePieceModel model)
    {
        _model = model;
        _texts = new string?[model.Pieces.Count];
        _bytes = new short[model.Pieces.Count];
        Array.Fill(_bytes, (short)-1);

        var textCount = model.Pieces.Count(piece => IsText(piece.Kind));
        var textPieces = new PieceTable(textCount, id => model.Pieces[id].Utf8);
        _otherPieces = new PieceTable(model.Pieces.Count - textCount, id => model.Pieces[id].Utf8);
        UnknownId = -1;
        for (var id = 0; id < model.Pieces.Count; id++)
        {
            var kind = model.Pieces[id].Kind;
            if (!(IsText(kind) ? textPieces : _otherPieces).TryAdd(id))
            {
                throw model.Error($"has piece {id} twice; download it again");
            }

            switch (kind)
            {
                case PieceKind.Byte: AddByte(id); break;
                case PieceKind.Unknown: UnknownId = UnknownId < 0 ? id : throw model.Error("has two unknown pieces"); break;
            }
        }

        if (model.Pieces.Any(piece => piece.Kind == PieceKind.UserDefined))
        {
            _userDefined = new SortedPieces(
                Enumerable.Range(0, model.Pieces.Count).Where(id => model.Pieces[id].Kind == PieceKind.UserDefined), id => model.Pieces[id].Utf8);
        }

        if (UnknownId < 0 || (model.ByteFallback && _byteIds.Contains(-1)))
        {
            throw model.Error("lacks the unknown piece or some of the 256 byte pieces; download it again");
        }

        BosId = ControlId(_otherPieces, model.BosPiece);
        EosId = ControlId(_otherPieces, model.EosPiece);
        PadId = ControlId(_otherPieces, model.PadPiece);
        if (model.NeedsEnds && (BosId < 0 || EosId < 0))
        {
            throw model.Error("lacks the control pieces for the two ends of a text (<s> and </s>), which Llama needs");
        }

        _segmenter = model.IsUnigram ? new UnigramSegmenter(model) : new BytePairMerger(model, textPieces, _userDefined);
    }

    /// <inheritdoc/>
    public override string Kind => !_model.NeedsEnds ? "unigram (tokenizer.json)" : _model.IsUnigram ? "SentencePiece unigram" : "SentencePiece BPE";

    /// <inheritdoc/>
    public override int VocabularySize => _bytes.Length;

    /// <summary>Begins a text: <c>&lt;s&gt;</c>; -1 where a tokenizer.json names none.</summary>
    public override int BosId { get; }

    /// <summary>Ends a text: <c>&lt;/s&gt;</c>; -1 where a tokenizer.json names none.</summary>
    public override int EosId { get; }

    /// <summary>Fills a row up; -1 where the model has none, as Llama's, and never an input of the model.</summary>
    public int PadId { get; }

    /// <summary>Stands for what the vocabulary cannot say: <c>&lt;unk&gt;</c>.</summary>
    public int UnknownId { get; }

    /// <summary>Reads a <c>tokenizer.model</c>.</summary>
    /// <exception cref="TokenizerFormatException">
    /// The file is missing, damaged, or of a kind that is not read; the message is one sentence for the user.
    /// </exception>
    public static new SentencePieceTokenizer Load(string path) => new(SentencePieceModel.Read(path));

    /// <summary>Makes a tokenizer of a model already read.</summary>
    internal static SentencePieceTokenizer Create(SentencePieceModel model) => new(model);

    /// <summary>
    /// The ids of a text. Control pieces written out in it (<c>&lt;s&gt;</c>) are ordinary text; a lone surrogate is U+FFFD.
    /// </summary>
    /// <param name="text">Any text; nothing gives no ids but the two below.</param>
    /// <param name="bos">Put <see cref="BosId"/> in front.</param>
    /// <param name="eos">Put <see cref="EosId"/> behind.</param>
    public override int[] Encode(string text, bool bos, bool eos) => Encode(Encoding.UTF8.GetBytes(text), bos, eos);

    /// <summary>The ids of a text in UTF-8; each byte that is none is U+FFFD.</summary>
    /// <inheritdoc cref="Encode(string, bool, bool)"/>
    public int[] Encode(ReadOnlySpan<byte> text, bool bos, bool eos)
    {
        var ids = new List<int>((text.Length / 3) + 8);
        if (bos && BosId >= 0)
        {
            ids.Add(BosId);
        }

        var afterUnknown = false;
        var normalized = SpaceNormalizer.Normalize(text, _model.AddDummyPrefix, _model.RemoveExtraWhitespaces, _userDefined, _model.Characters);
        _segmenter.Run(normalized, (symbol, id) =>
        {
            if (id >= 0)
            {
                ids.Add(id);
            }
            else if (_model.ByteFallback)
            {
                foreach (var value in symbol)
                {
                    ids.Add(_byteIds[value]);
                }
            }
            else if (!afterUnknown)
            {
                ids.Add(UnknownId);    // a run of unknown symbols is one
            }

            afterUnknown = id < 0;
        });

        if (eos && EosId >= 0)
        {
            ids.Add(EosId);
        }

        return [.. ids];
    }

    /// <summary>The piece of an id as the model writes it: <c>▁a</c>, <c>&lt;0x0A&gt;</c>, <c>&lt;s&gt;</c>.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The id is not 0 to <see cref="VocabularySize"/> - 1.</exception>
    public override string Piece(int id)
    {
        RequireId(id);
        return Encoding.UTF8.GetString(_model.Pieces[id].Utf8.Span);
    }

    /// <summary>The id of a control piece, such as <c>&lt;s&gt;</c>; -1 where the model has none of this name.</summary>
    public override int SpecialId(string token) => ControlId(_otherPieces, token);

    /// <inheritdoc/>
    internal override ReadOnlySpan<byte> BytesOf(int id)
    {
        RequireId(id);
        return _bytes[id] < 0 ? [] : BytePairModel.SingleBytes.Slice(_bytes[id], 1);
    }

    /// <summary>The text of an id that is no byte.</summary>
    /// <param name="id">In range.</param>
    /// <param name="atStart">Nothing was decoded before it, so the space that encoding put there is left out.</param>
    /// <param name="startConsumed">It was there and the only one: what follows is no longer at the start.</param>
    internal override string TextOf(int id, bool atStart, out bool startConsumed)
    {
        startConsumed = false;
        switch (_model.Pieces[id].Kind)
        {
            case PieceKind.Control:
                return "";
            case PieceKind.Unknown:
                return _model.UnknownSurface;
            default:
                var text = _texts[id] ??= Piece(id).Replace('\u2581', ' ');
                if (!atStart || !_model.Pieces[id].Utf8.Span.StartsWith("\u2581"u8) || !(_model.AddDummyPrefix || _model.RemoveExtraWhitespaces))
                {
                    return text;
                }

                // A model that removes extra spaces removes all in front, one piece after another.
                startConsumed = !_model.RemoveExtraWhitespaces;
                return text[1..];
        }
    }

    private static bool IsText(PieceKind kind) => kind is PieceKind.Normal or PieceKind.UserDefined or PieceKind.Unused;

    private void RequireId(int id)
    {
        if ((uint)id >= (uint)_bytes.Length)
        {
            throw new ArgumentOutOfRangeException(nameof(id), id, $"A token id of this tokenizer is 0 to {_bytes.Length - 1}.");
        }
    }

    private void AddByte(int id)
    {
        var value = Array.IndexOf(ByteNames, Piece(id));
        if (!_model.ByteFallback || value < 0)
        {
            throw _model.Error($"has a byte piece {id} that is not one of <0x00> to <0xFF> of a model with byte_fallback");
        }

        _byteIds[value] = id;
        _bytes[id] = (short)value;
    }

    private int ControlId(PieceTable pieces, string piece)
        => pieces.TryFind(Encoding.UTF8.GetBytes(piece), out var id) && _model.Pieces[id].Kind == PieceKind.Control ? id : -1;
}
