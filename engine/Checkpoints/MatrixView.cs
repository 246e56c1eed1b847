namespace Distributed.Engine.Checkpoints;

/// <summary>A rectangle of a stored matrix, in place: rows of a mapped file, or some columns of them.</summary>
/// <param name="Name">The tensor's, for errors.</param>
/// <param name="Type">How an element is stored.</param>
/// <param name="Data">The first element; any alignment.</param>
/// <param name="RowByteCount">Bytes from a row to the next.</param>
/// <param name="RowCount">Rows.</param>
/// <param name="ColumnCount">Columns.</param>
internal readonly record struct MatrixView(
    string Name, TensorType Type, nint Data, nint RowByteCount, int RowCount, int ColumnCount);
