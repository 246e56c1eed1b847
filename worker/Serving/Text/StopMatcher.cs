using System.Collections.Immutable;

namespace Distributed.Worker.Serving.Text;

/// <summary>
/// Finds the first of several texts in a text that comes in pieces, and lets nothing out that could be the beginning of one. Where it cuts depends on the
/// text alone and not on its pieces: before the stop that is complete first, and of those that end together before the longest.
/// </summary>
/// <param name="stops">None empty; they may be none.</param>
internal sealed class StopMatcher(ImmutableArray<string> stops)
{
    private string _held = ""; // ends with what may be the beginning of a stop

    /// <summary>Whether a stop was found; nothing comes out any more.</summary>
    public bool IsStopped { get; private set; }

    /// <summary>Takes the next piece and returns what can be shown.</summary>
    public string Push(string piece)
    {
        if (IsStopped || piece.Length == 0)
        {
            return "";
        }

        if (stops.IsEmpty)
        {
            return piece;
        }

        var first = _held.Length + 1;
        _held += piece;
        for (var end = first; end <= _held.Length; end++)
        {
            if (LengthOfStopAt(end) is > 0 and var length)
            {
                IsStopped = true;
                return Release(end - length);
            }
        }

        return Release(_held.Length - LengthOfBeginning());
    }

    /// <summary>What was held back, at the end of the text.</summary>
    public string Flush() => IsStopped ? "" : Release(_held.Length);

    private int LengthOfStopAt(int end)
    {
        var longest = 0;
        foreach (var stop in stops)
        {
            if (stop.Length > longest && _held.AsSpan(0, end).EndsWith(stop, StringComparison.Ordinal))
            {
                longest = stop.Length;
            }
        }

        return longest;
    }

    /// <summary>The length of the longest end of the text with which a stop begins.</summary>
    private int LengthOfBeginning()
    {
        var longest = 0;
        foreach (var stop in stops)
        {
            for (var length = Math.Min(stop.Length - 1, _held.Length); length > longest; length--)
            {
                if (_held.AsSpan().EndsWith(stop.AsSpan(0, length), StringComparison.Ordinal))
                {
                    longest = length;
                }
            }
        }

        return longest;
    }

    private string Release(int length)
    {
        var released = _held[..length];
        _held = IsStopped ? "" : _held[length..];
        return released;
    }
}
