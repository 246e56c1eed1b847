using System.Text;
using System.Text.Unicode;

namespace Distributed.Engine.Tokenizers;

/// <summary>What a piece is for (sentencepiece_model.proto, ModelProto.SentencePiece.Type).</summary>
internal enum PieceKind
{
    Normal = 1,
    Unknown = 2,
    Control = 3,
    UserDefined = 4,
    Unused = 5,
    Byte = 6,
}

/// <summary>A line of the vocabulary.</summary>
/// <param name="Utf8">Its text, spaces written as U+2581.</param>
/// <param name="Score">
/// The higher, the earlier a pair of symbols merges into it; in a unigram model the logarithm of its probability.
/// </param>
/// <param name="Kind">What it is for.</param>
internal readonly record struct Piece(ReadOnlyMemory<byte> Utf8, float Score, PieceKind Kind);

/// <summary>
/// A <c>tokenizer.model</c> of SentencePiece: the protobuf message ModelProto (google/sentencepiece, src/sentencepiece_model.proto), of
/// which the fields that change ids or text are read. What this tokenizer would get wrong is refused by name.
/// </summary>
internal sealed class SentencePieceModel
{
    /// <summary>Llama 2's file has 0.5 MB, the largest public ones a few.</summary>
    private const int MaxByteCount = 64 << 20;

    private const int MaxPieceCount = 1 << 20;
    private const int MaxPieceByteCount = 1024;

    // Of most models; where pieces have fewer bytes the list of them grows.
    private const int LeastPieceByteCount = 16;

    private const int Unigram = 1;
    private const int BytePairEncoding = 2;

    private readonly string _path;
    private readonly List<Piece> _pieces;

    private SentencePieceModel(string path, List<Piece> pieces) => (_path, _pieces) = (path, pieces);

    public IReadOnlyList<Piece> Pieces => _pieces;

    /// <summary>Whether pieces have probabilities (<c>model_type</c> unigram), and not an order of merging (bpe).</summary>
    public bool IsUnigram { get; private set; } = true;

    /// <summary>Unknown characters become the ids of their bytes (<c>byte_fallback</c>).</summary>
    public bool ByteFallback { get; private set; }

    /// <summary>A space is put in front of every text (<c>add_dummy_prefix</c>).</summary>
    public bool AddDummyPrefix { get; private set; } = true;

    /// <summary>Spaces at both ends are dropped and runs of them become one (<c>remove_extra_whitespaces</c>).</summary>
    public bool RemoveExtraWhitespaces { get; private set; } = true;

    /// <summary>What characters become before a text is cut (<c>precompiled_charsmap</c>); <see langword="null"/> where they stay.</summary>
    public CharacterMap? Characters { get; private set; }

    /// <summary>What the unknown id decodes to (<c>unk_surface</c>).</summary>
    public string UnknownSurface { get; private set; } = " \u2047 ";

    /// <summary>Whether a model without control pieces for the two ends of a text is refused.</summary>
    public bool NeedsEnds { get; private init; } = true;

    public string BosPiece { get; private set; } = "<s>";

    public string EosPiece { get; private set; } = "</s>";

    public string PadPiece { get; private set; } = "<pad>";

    /// <exception cref="TokenizerFormatException">The file is missing, damaged, or needs something that is not done here.</exception>
    public static SentencePieceModel Read(string path)
    {
        byte[] bytes;
        try
        {
            var file = new FileInfo(path);
            if (!file.Exists)
            {
                throw new TokenizerFormatException(
                    $"The tokenizer {path} does not exist; give the checkpoint's tokenizer.model with --tokenizer-path.");
            }

            if (file.Length > MaxByteCount)
            {
                throw new TokenizerFormatException($"The tokenizer {path} has {file.Length} bytes, more than {MaxByteCount}; "
                    + "give the checkpoint's tokenizer.model.");
            }

            bytes = File.ReadAllBytes(path);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new TokenizerFormatException($"The tokenizer {path} cannot be read: {error.Message}", error);
        }

        return Parse(bytes, path);
    }

    /// <summary>A unigram model that a tokenizer.json holds.</summary>
    /// <param name="path">Names the file in errors.</param>
    /// <param name="pieces">[id], the model's from then on.</param>
    /// <param name="characters">What characters become; <see langword="null"/> where they stay.</param>
    /// <param name="ends">The names of the control pieces for the two ends of a text; empty for none.</param>
    public static SentencePieceModel OfUnigram(string path, List<Piece> pieces, CharacterMap? characters, (string Bos, string Eos) ends)
    {
        var model = new SentencePieceModel(path, pieces) { NeedsEnds = false, Characters = characters, BosPiece = ends.Bos, EosPiece = ends.Eos };
        for (var id = 0; id < pieces.Count; id++)
        {
            pieces[id] = model.Checked(pieces[id], id);
            model.ByteFallback |= pieces[id].Kind == PieceKind.Byte;
        }

        return model;
    }

    /// <summary>Reads the bytes of a tokenizer.model; <paramref name="path"/> names it in errors.</summary>
    public static SentencePieceModel Parse(byte[] bytes, string path)
    {
        var model = new SentencePieceModel(path, []);
        model.RequireSentencePiece(bytes);
        try
        {
            model._pieces.Capacity = Math.Min(MaxPieceCount, bytes.Length / LeastPieceByteCount);
            model.ReadModel(new ProtobufReader(bytes));
        }
        catch (InvalidDataException error)
        {
            throw model.Error("is damaged or no SentencePiece model; download it again", error);
        }

        return model._pieces.Count > 0 ? model : throw model.Error("has no pieces; download it again");
    }

    public TokenizerFormatException Error(string problem, Exception? inner = null) => new($"The tokenizer {_path} {problem}.", inner);

    /// <summary>
    /// Names what the file is where it plainly is something else. A SentencePiece model begins with the tag of its first piece.
    /// </summary>
    private void RequireSentencePiece(ReadOnlySpan<byte> bytes)
    {
        if (bytes.StartsWith("version https://git-lfs"u8))
        {
            throw Error("is a Git LFS pointer, not the file; run git lfs pull");
        }

        if (bytes.StartsWith("IQ== 0\n"u8))
        {
            throw Error("is a vocabulary of tiktoken (Llama 3) but not a whole one; download it again");
        }

        if (bytes is [(byte)'{', ..])
        {
            throw Error("is a JSON file; give the SentencePiece tokenizer.model that came with the checkpoint");
        }
    }

    // Tags below are (field number << 3 | wire type). A known field with another wire type is passed over like an unknown one, as
    // protobuf does.
    private void ReadModel(ProtobufReader input)
    {
        while (input.ReadTag() is var tag and not 0)
        {
            switch (tag)
            {
                case (1 << 3) | 2: ReadPiece(new ProtobufReader(input.ReadBytes())); break;
                case (2 << 3) | 2: ReadTrainer(new ProtobufReader(input.ReadBytes())); break;
                case (3 << 3) | 2: ReadNormalizer(new ProtobufReader(input.ReadBytes())); break;
                case (5 << 3) | 2: ReadDenormalizer(new ProtobufReader(input.ReadBytes())); break;
                default: input.Skip(); break;
            }
        }
    }

    private void ReadPiece(ProtobufReader input)
    {
        ReadOnlyMemory<byte> text = default;
        var score = 0f;
        var kind = PieceKind.Normal;
        while (input.ReadTag() is var tag and not 0)
        {
            switch (tag)
            {
                case (1 << 3) | 2: text = input.ReadBytes(); break;
                case (2 << 3) | 5: score = input.ReadFloat(); break;
                case (3 << 3) | 0: kind = (PieceKind)(int)input.ReadVarint(); break;
                default: input.Skip(); break;
            }
        }

        _pieces.Add(Checked(new Piece(text, score, kind), _pieces.Count));
    }

    private Piece Checked(Piece piece, int id)
    {
        var (text, score, kind) = piece;
        if (id >= MaxPieceCount)
        {
            throw Error($"has more than {MaxPieceCount} pieces");
        }

        if (text.Length is 0 or > MaxPieceByteCount || !Utf8.IsValid(text.Span) || !float.IsFinite(score) || !Enum.IsDefined(kind))
        {
            throw Error($"has a damaged piece {id} ({text.Length} bytes, score {score}, type {(int)kind}); download it again");
        }

        // -0 and 0 are one score: their order must not depend on the sign.
        return new Piece(text, score + 0f, kind);
    }

    private void ReadTrainer(ProtobufReader input)
    {
        var modelType = Unigram;
        while (input.ReadTag() is var tag and not 0)
        {
            switch (tag)
            {
                case (3 << 3) | 0: modelType = (int)input.ReadVarint(); break;
                case (24 << 3) | 0: Require(input.ReadVarint() == 0, "treat_whitespace_as_suffix"); break;
                case (35 << 3) | 0: ByteFallback = input.ReadVarint() != 0; break;
                case (44 << 3) | 2: UnknownSurface = ReadText(ref input); break;
                case (46 << 3) | 2: BosPiece = ReadText(ref input); break;
                case (47 << 3) | 2: EosPiece = ReadText(ref input); break;
                case (48 << 3) | 2: PadPiece = ReadText(ref input); break;
                default: input.Skip(); break;
            }
        }

        if (modelType is not (Unigram or BytePairEncoding))
        {
            var name = modelType switch { 3 => "word", 4 => "char", _ => modelType.ToString(provider: null) };
            throw Error($"is a SentencePiece model of type {name}; those of type bpe, as Llama's, and unigram are read");
        }

        IsUnigram = modelType == Unigram;
    }

    private void ReadNormalizer(ProtobufReader input)
    {
        while (input.ReadTag() is var tag and not 0)
        {
            switch (tag)
            {
                case (2 << 3) | 2: Characters = ReadCharacters(input.ReadBytes().Span); break;
                case (3 << 3) | 0: AddDummyPrefix = input.ReadVarint() != 0; break;
                case (4 << 3) | 0: RemoveExtraWhitespaces = input.ReadVarint() != 0; break;
                case (5 << 3) | 0: Require(input.ReadVarint() != 0, "escape_whitespaces false"); break;
                default: input.Skip(); break;
            }
        }
    }

    private void ReadDenormalizer(ProtobufReader input)
    {
        while (input.ReadTag() is var tag and not 0)
        {
            switch (tag)
            {
                case (2 << 3) | 2: Require(input.ReadBytes().IsEmpty, "a denormalizer"); break;
                default: input.Skip(); break;
            }
        }
    }

    // No map at all is that of 'identity'.
    private CharacterMap? ReadCharacters(ReadOnlySpan<byte> bytes)
        => bytes.IsEmpty ? null : CharacterMap.TryRead(bytes) ?? throw Error("has a damaged precompiled_charsmap; download it again");

    private string ReadText(ref ProtobufReader input)
    {
        var bytes = input.ReadBytes().Span;
        return bytes.Length <= MaxPieceByteCount && Utf8.IsValid(bytes)
            ? Encoding.UTF8.GetString(bytes)
            : throw Error("has a damaged trainer specification; download it again");
    }

    private void Require(bool condition, string feature)
    {
        if (!condition)
        {
            throw Error($"uses {feature}, which no Llama tokenizer does and which is not done here");
        }
    }
}
