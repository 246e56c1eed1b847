using System.Text;

namespace Distributed.Launcher.Output;

/// <summary>A file that the ranks of an attempt share, for the lines that hold one of a few texts. Safe for use from several threads.</summary>
/// <param name="file">The file; owned.</param>
/// <param name="texts">The texts.</param>
internal sealed class LineCopies(LogFile file, IReadOnlyList<string> texts) : IDisposable
{
    private readonly byte[][] _texts = [.. texts.Select(Encoding.UTF8.GetBytes)];

    /// <summary>Copies a line, if it is one of those.</summary>
    /// <param name="line">With its prefix and line feed.</param>
    /// <param name="prefixByteCount">The bytes of the prefix, which is not searched.</param>
    public void Offer(ReadOnlySpan<byte> line, int prefixByteCount)
    {
        foreach (var text in _texts)
        {
            if (line[prefixByteCount..].IndexOf(text) >= 0)
            {
                file.Write(line);
                return;
            }
        }
    }

    public void Dispose() => file.Dispose();
}
