using System.Buffers;

namespace Distributed.Launcher.Output;

/// <summary>Makes whole, prefixed lines of the pieces in which a rank's output arrives. The bytes of a line stay as they are.</summary>
internal sealed class LineAssembler(byte[] prefix)
{
    /// <summary>A line longer than this is cut, so that what is held back of it is bounded.</summary>
    public const int MaxLineByteCount = 64 * 1024;

    private readonly ArrayBufferWriter<byte> _open = new(); // the line that has not ended yet

    /// <summary>Takes a piece, and appends the lines that it completes to <paramref name="lines"/>.</summary>
    public void Append(ReadOnlySpan<byte> piece, ArrayBufferWriter<byte> lines)
    {
        while (!piece.IsEmpty)
        {
            var room = MaxLineByteCount - _open.WrittenCount;
            var end = piece[..Math.Min(piece.Length, room + 1)].IndexOf((byte)'\n');
            if (end >= 0)
            {
                Complete(piece[..end], lines);
                piece = piece[(end + 1)..];
            }
            else if (piece.Length > room)
            {
                Complete(piece[..room], lines);
                piece = piece[room..];
            }
            else
            {
                _open.Write(piece);
                return;
            }
        }
    }

    /// <summary>The output has ended: half a line becomes a whole one.</summary>
    public void End(ArrayBufferWriter<byte> lines)
    {
        if (_open.WrittenCount > 0)
        {
            Complete([], lines);
        }
    }

    private void Complete(ReadOnlySpan<byte> rest, ArrayBufferWriter<byte> lines)
    {
        lines.Write(prefix);
        lines.Write(_open.WrittenSpan);
        lines.Write(rest);
        lines.Write("\n"u8);
        _open.ResetWrittenCount();
    }
}
