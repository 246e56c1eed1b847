namespace Distributed.Engine.Tokenizers;

/// <summary>Called for each symbol in order: its bytes, and its id or -1 where the vocabulary has none.</summary>
internal delegate void EmitPiece(ReadOnlySpan<byte> symbol, int id);

/// <summary>Cuts normalized text into pieces as one type of SentencePiece model does. Safe for use by several threads at once.</summary>
internal abstract class PieceSegmenter
{
    /// <summary>Cuts a normalized text, valid UTF-8; the symbols together are the text.</summary>
    public abstract void Run(ReadOnlySpan<byte> text, EmitPiece emit);
}
