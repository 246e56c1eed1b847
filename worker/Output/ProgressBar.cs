namespace Distributed.Worker.Output;

/// <summary>A line of progress on stderr: redrawn on a terminal, a line for every tenth elsewhere.</summary>
internal sealed class ProgressBar
{
    private const int Width = 40;

    private int _percent = -1;
    private bool _isDrawn;

    /// <summary>Shows how far it is, where that has changed.</summary>
    /// <param name="done">Bytes done, or other units.</param>
    /// <param name="total">All of them.</param>
    /// <param name="whole">What they are together; by default so many MB.</param>
    public void Report(long done, long total, string? whole = null)
    {
        var percent = (int)(done * 100 / Math.Max(1, total));
        if (percent == _percent || (Console.IsErrorRedirected && percent % 10 != 0))
        {
            return;
        }

        _percent = percent;
        var filled = percent * Width / 100;
        var bar = $"[{new string('#', filled)}{new string('.', Width - filled)}] {percent,3} % of {whole ?? $"{total / 1_000_000} MB"}";
        Console.Error.Write(Console.IsErrorRedirected ? $"{bar}\n" : percent == 100 ? $"\r{bar}\n" : $"\r{bar}");
        _isDrawn = !Console.IsErrorRedirected && percent != 100;
    }

    /// <summary>Writes a line of its own.</summary>
    public void Line(string text)
    {
        Console.Error.Write(_isDrawn ? $"\n{text}\n" : $"{text}\n");
        (_isDrawn, _percent) = (false, -1);
    }
}
