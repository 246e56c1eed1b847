using System.Text;
using Distributed.Engine.Generation;

namespace Distributed.Worker.Output;

/// <summary>What is printed around a row's text.</summary>
internal sealed record RowFrame(string Before, string After);

/// <summary>
/// Prints rows in their order while they are generated together: the first unfinished one live, the others as their turn comes.
/// </summary>
internal sealed class TextOutput(TextWriter writer, IReadOnlyList<RowFrame> frames)
{
    private readonly StringBuilder[] _held = [.. frames.Select(_ => new StringBuilder())]; // text of rows whose turn has not come
    private readonly bool[] _finished = new bool[frames.Count];
    private int _current;

    /// <summary>Prints what comes before the first row's text.</summary>
    public void Begin()
    {
        Begin(0);
        writer.Flush();
    }

    /// <summary>Takes news of a row.</summary>
    /// <param name="row">Index of the row among all frames.</param>
    /// <param name="update">The news.</param>
    public void OnUpdate(int row, RowUpdate update)
    {
        _finished[row] = update.FinishReason is not null;
        if (row != _current)
        {
            _held[row].Append(update.Text);
            return;
        }

        writer.Write(update.Text);
        while (_current < frames.Count && _finished[_current])
        {
            writer.Write(frames[_current].After);
            Begin(_current + 1);
        }

        writer.Flush();
    }

    private void Begin(int row)
    {
        _current = row;
        if (row < frames.Count)
        {
            writer.Write(frames[row].Before);
            writer.Write(_held[row]);
            _held[row].Clear();
        }
    }
}
