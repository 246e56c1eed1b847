using System.Collections.Immutable;

namespace Distributed.Engine.Checkpoints;

/// <summary>
/// A whole tensor as its files hold it: one part a file, in order along the extent that divides it. What a rank needs of it are views of
/// the parts, whatever the number of ranks; nothing is copied.
/// </summary>
/// <param name="Name">Meta's name, <c>layers.0.attention.wq.weight</c>.</param>
/// <param name="Type">How an element is stored.</param>
/// <param name="Shape">Of the whole: [row, column] or [element].</param>
/// <param name="Split">The extent that the parts divide evenly.</param>
/// <param name="Parts">One a file; one alone where nothing is divided, or where the matrix is quantised.</param>
/// <param name="Blocks">How a quantised matrix lies in its part; <see langword="null"/> where it is not quantised.</param>
internal sealed record StoredTensor(
    string Name, TensorType Type, ImmutableArray<long> Shape, TensorSplit Split, ImmutableArray<MappedTensor> Parts, BlockShape? Blocks = null)
{
    /// <summary>Some rows with all their columns, in views that follow each other.</summary>
    /// <exception cref="InvalidOperationException">The files divide the columns.</exception>
    public IEnumerable<MatrixView> Rows(int start, int count)
        => Blocks is { } blocks ? (count == 0 ? [] : [blocks.Rows(Name, Parts[0].Data, start, count)])
        : Split != TensorSplit.Columns || Parts.Length == 1
            ? Cut(start, count, (int)Parts[0].Shape[0]).Select(cut => View(cut.Part, (cut.Start, cut.Count), (0, (int)Shape[1])))
            : throw new InvalidOperationException($"The files divide the columns of {Name}, and whole rows are wanted.");

    /// <summary>Some columns of all rows, in views that lie side by side.</summary>
    /// <param name="start">The first column.</param>
    /// <param name="count">Columns.</param>
    /// <param name="groupCount">Canonical groups of these columns.</param>
    /// <exception cref="InvalidOperationException">The files divide the rows.</exception>
    public IEnumerable<MatrixView> Columns(int start, int count, int groupCount = 1)
        => Blocks is { } blocks ? blocks.Columns(Name, Parts[0].Data, start, count, groupCount)
        : Split != TensorSplit.Rows || Parts.Length == 1
            ? Cut(start, count, (int)Parts[0].Shape[1]).Select(cut => View(cut.Part, (0, (int)Shape[0]), (cut.Start, cut.Count)))
            : throw new InvalidOperationException($"The files divide the rows of {Name}, and whole columns are wanted.");

    // The pieces of a range where each part has so many.
    private static IEnumerable<(int Part, int Start, int Count)> Cut(int start, int count, int partCount)
    {
        for (var end = start + count; start < end;)
        {
            var part = start / partCount;
            var next = Math.Min(end, (part + 1) * partCount);
            yield return (part, start - (part * partCount), next - start);
            start = next;
        }
    }

    private MatrixView View(int part, (int Start, int Count) rows, (int Start, int Count) columns)
    {
        var elementSize = StorageType.Of(Type).ItemByteCount;
        var rowByteCount = (nint)Parts[part].Shape[1] * elementSize;
        var first = Parts[part].Data + (rows.Start * rowByteCount) + ((nint)columns.Start * elementSize);
        return new MatrixView(Name, Type, first, rowByteCount, rows.Count, columns.Count);
    }
}
