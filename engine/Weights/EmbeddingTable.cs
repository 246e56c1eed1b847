using Distributed.Engine.Checkpoints;

namespace Distributed.Engine.Weights;

/// <summary>
/// Token embeddings E [token, dimension], whole on every rank however the files divide them: a row is read in place where it lies, and rows
/// of tokens that never come are never read.
/// </summary>
internal sealed class EmbeddingTable
{
    private readonly MatrixView[] _parts;
    private readonly bool _splitByColumns;
    private readonly TensorType _type;

    public EmbeddingTable(StoredTensor tensor)
    {
        _type = tensor.Type;
        _splitByColumns = tensor.Split == TensorSplit.Columns;
        _parts = [.. _splitByColumns ? tensor.Columns(0, (int)tensor.Shape[1]) : tensor.Rows(0, (int)tensor.Shape[0])];
    }

    /// <summary>Widens the row of a token to float32.</summary>
    /// <param name="tokenId">The row.</param>
    /// <param name="destination">[dimension]</param>
    public void ReadRow(int tokenId, Span<float> destination)
    {
        if (!_splitByColumns)
        {
            var rows = _parts[0].RowCount;
            Read(_parts[tokenId / rows], tokenId % rows, destination);
            return;
        }

        foreach (ref readonly var part in _parts.AsSpan())
        {
            Read(part, tokenId, destination[..part.ColumnCount]);
            destination = destination[part.ColumnCount..];
        }
    }

    private void Read(in MatrixView part, int row, Span<float> destination)
        => TensorElements.Widen(_type, part.Data + (row * part.RowByteCount), destination);
}
