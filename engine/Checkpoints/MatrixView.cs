namespace Distributed.Engine.Checkpoints;

/// <summary>A rectangle of a stored matrix, in place: rows of a mapped file, or some columns of them.</summary>
/// <param name="Name">The tensor's, for errors.</param>
/// <param name="Type">How an element is stored.</param>
/// <param name="Data">The first element; any alignment.</param>
/// <param name="RowByteCount">Bytes from a row to the next; of quantised weights, from a tile of eight rows to the next.</param>
/// <param name="RowCount">Rows.</param>
/// <param name="ColumnCount">Columns.</param>
/// <param name="FirstRow">Of quantised weights, the place of the first row in its tile: rows before it are another rank's.</param>
/// <param name="LeadLength">Of quantised weights, the place of the first column in its block: columns before it are another rank's.</param>
internal readonly record struct MatrixView(
    string Name, TensorType Type, nint Data, nint RowByteCount, int RowCount, int ColumnCount, int FirstRow = 0, int LeadLength = 0);
