using System.Text;

namespace Distributed.Launcher.Output;

/// <summary>
/// The last lines of a rank's stderr, kept for the failure report whatever else happens to them. Safe for use from several threads.
/// </summary>
internal sealed class TailBuffer
{
    public const int MaxLineCount = 20;
    private const int MaxLineByteCount = 1024;

    private readonly Lock _gate = new();
    private readonly Queue<byte[]> _lines = new(MaxLineCount);
    private readonly byte[] _open = new byte[MaxLineByteCount]; // the start of the line that has not ended yet
    private int _openCount;

    /// <summary>Takes a piece of the output.</summary>
    public void Append(ReadOnlySpan<byte> piece)
    {
        lock (_gate)
        {
            while (!piece.IsEmpty)
            {
                var end = piece.IndexOf((byte)'\n');
                var part = end < 0 ? piece : piece[..end];
                var kept = part[..Math.Min(part.Length, MaxLineByteCount - _openCount)];
                kept.CopyTo(_open.AsSpan(_openCount));
                _openCount += kept.Length;
                if (end < 0)
                {
                    return;
                }

                if (_lines.Count == MaxLineCount)
                {
                    _lines.Dequeue();
                }

                _lines.Enqueue(_open.AsSpan(0, _openCount).ToArray());
                _openCount = 0;
                piece = piece[(end + 1)..];
            }
        }
    }

    /// <summary>The last lines, oldest first, without what a terminal would act on.</summary>
    public IReadOnlyList<string> Lines()
    {
        lock (_gate)
        {
            byte[][] open = _openCount > 0 ? [_open.AsSpan(0, _openCount).ToArray()] : [];
            return [.. _lines.Concat(open).TakeLast(MaxLineCount).Select(Printable)];
        }
    }

    private static string Printable(byte[] line)
    {
        var text = new StringBuilder(line.Length);
        foreach (var character in Encoding.UTF8.GetString(line).TrimEnd('\r'))
        {
            text.Append(char.IsControl(character) && character != '\t' ? '?' : character);
        }

        return text.ToString();
    }
}
