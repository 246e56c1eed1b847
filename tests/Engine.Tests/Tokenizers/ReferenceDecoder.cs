using System.Text;
using Distributed.Engine.Tokenizers;

namespace Distributed.Engine.Tests.Tokenizers;

/// <summary>
/// Decoding a whole list as SentencePieceProcessor::Decode describes it, written without state that a stream would need: the oracle of
/// the stream decoder. It reads the pieces' names only, so it serves models with the usual names of control and byte pieces.
/// </summary>
internal static class ReferenceDecoder
{
    public static string Decode(SentencePieceTokenizer tokenizer, ReadOnlySpan<int> ids)
    {
        var text = new StringBuilder();
        var removesAll = tokenizer.Encode("  ", bos: false, eos: false).Length == 0;
        var prefixSeen = false;
        for (var index = 0; index < ids.Length;)
        {
            var run = index;
            var bytes = new List<byte>();
            while (run < ids.Length && ByteOf(tokenizer.Piece(ids[run])) is { } value)
            {
                bytes.Add(value);
                run++;
            }

            if (run > index)
            {
                AppendBytes(text, bytes);
                index = run;
                continue;
            }

            var piece = tokenizer.Piece(ids[index++]);
            var atStart = text.Length == 0 && !prefixSeen;
            if (piece is "<s>" or "</s>" or "<unk>")
            {
                text.Append(piece == "<unk>" ? " \u2047 " : "");
                continue;
            }

            if (atStart && piece.StartsWith('\u2581'))
            {
                piece = piece[1..];
                prefixSeen = !removesAll;
            }

            text.Append(piece.Replace('\u2581', ' '));
        }

        return text.ToString();
    }

    private static byte? ByteOf(string piece)
        => piece.Length == 6 && piece.StartsWith("<0x", StringComparison.Ordinal) ? Convert.ToByte(piece[3..5], 16) : null;

    /// <summary>Well-formed characters as they are, every other byte alone as U+FFFD.</summary>
    private static void AppendBytes(StringBuilder text, List<byte> bytes)
    {
        var strict = new UTF8Encoding(false, throwOnInvalidBytes: true);
        for (var index = 0; index < bytes.Count;)
        {
            var length = Enumerable.Range(1, Math.Min(4, bytes.Count - index))
                .FirstOrDefault(length => IsCharacter(bytes.GetRange(index, length)));
            text.Append(length > 0 ? strict.GetString([.. bytes.GetRange(index, length)]) : "\uFFFD");
            index += Math.Max(length, 1);
        }

        bool IsCharacter(List<byte> candidate)
        {
            try
            {
                return strict.GetString([.. candidate]).EnumerateRunes().Count() == 1;
            }
            catch (DecoderFallbackException)
            {
                return false;
            }
        }
    }
}
