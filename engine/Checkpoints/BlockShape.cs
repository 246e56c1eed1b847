using System.Collections.Immutable;
using Distributed.Engine.Kernels;

namespace Distributed.Engine.Checkpoints;

/// <summary>
/// How a matrix quantised in blocks of 32 lies in a file: the tiles of <see cref="QuantizedLayout"/> one behind the other, as the kernels read them, so
/// that a start maps them. A tile has all canonical groups of its eight rows side by side: any rank finds its rows and its groups in place.
/// </summary>
/// <param name="Type"><see cref="TensorType.Int8"/> or <see cref="TensorType.Int4"/>.</param>
/// <param name="RowCount">Rows; those that complete the last tile are zero.</param>
/// <param name="ColumnCount">Columns.</param>
/// <param name="GroupCount">Canonical groups of the columns; 1 where ranks do not divide them.</param>
internal readonly record struct BlockShape(TensorType Type, int RowCount, int ColumnCount, int GroupCount)
{
    /// <summary>Columns of a group.</summary>
    public int GroupLength => ColumnCount / GroupCount;

    /// <summary>Bytes of a tile's scales and weights for one block.</summary>
    public int BlockByteCount
        => QuantizedLayout.ScalesByteCount + (Type == TensorType.Int8 ? Int8Format.BlockByteCount : Int4Format.BlockByteCount);

    /// <summary>Bytes of a tile's group.</summary>
    public long GroupByteCount => (long)QuantizedLayout.BlockCount(GroupLength) * BlockByteCount;

    /// <summary>Bytes of a tile.</summary>
    public long TileByteCount => GroupCount * GroupByteCount;

    /// <summary>Bytes of all tiles.</summary>
    public long ByteCount => QuantizedLayout.TileCount(RowCount) * TileByteCount;

    /// <summary>The tensor of bytes in the file: [tile, byte].</summary>
    public ImmutableArray<long> FileShape => [QuantizedLayout.TileCount(RowCount), TileByteCount];

    /// <summary>The shape of a model's tensor in a quantised checkpoint; <see langword="null"/> for what is not quantised: the embedding and vectors.</summary>
    public static BlockShape? Of(LlamaConfig config, LlamaTensor tensor, TensorType type)
    {
        if (tensor.Shape.Length != 2 || tensor.Name == LlamaTensors.Embedding)
        {
            return null;
        }

        var groupCount = tensor.Split != TensorSplit.Columns ? 1
            : LlamaConfig.CanonicalGroupCount(tensor.Name.EndsWith("wo.weight", StringComparison.Ordinal) ? config.HeadCount : config.HiddenDimension);
        return new BlockShape(TypeOf(tensor.Name, type), (int)tensor.Shape[0], (int)tensor.Shape[1], groupCount);
    }

    /// <summary>
    /// What a matrix has under a type: sampling sees every error of the logits, and they are a small part of the weights, so the output never has
    /// less than 8 bits.
    /// </summary>
    public static TensorType TypeOf(string name, TensorType type) => name == LlamaTensors.Output ? TensorType.Int8 : type;

    /// <summary>Some rows of the tiles at <paramref name="data"/>.</summary>
    public MatrixView Rows(string name, nint data, int start, int count)
        => new(
            name,
            Type,
            data + (nint)(start / QuantizedLayout.TileRowCount * TileByteCount),
            (nint)TileByteCount,
            count,
            ColumnCount,
            FirstRow: start % QuantizedLayout.TileRowCount);

    /// <summary>Some columns of all rows of the tiles at <paramref name="data"/>, in views that lie side by side.</summary>
    /// <param name="name">The tensor's.</param>
    /// <param name="data">The first tile.</param>
    /// <param name="start">The first column.</param>
    /// <param name="count">Columns.</param>
    /// <param name="groupCount">Into how many groups they fall on the rank.</param>
    public IEnumerable<MatrixView> Columns(string name, nint data, int start, int count, int groupCount)
    {
        var shape = this;
        var isWhole = start % GroupLength == 0 && count == groupCount * GroupLength;
        var hasNoPadding = GroupLength % QuantizedLayout.BlockLength == 0 && start % QuantizedLayout.BlockLength == 0;
        if (count > 0 && (isWhole || hasNoPadding))
        {
            yield return View(start, count);
            yield break;
        }

        // World sizes that cut through groups: a piece of each, which may begin within a block.
        for (var end = start + count; start < end;)
        {
            var next = Math.Min(end, ((start / GroupLength) + 1) * GroupLength);
            yield return View(start, next - start);
            start = next;
        }

        MatrixView View(int first, int length)
        {
            var (group, column) = (first / shape.GroupLength, first % shape.GroupLength);
            var offset = (group * shape.GroupByteCount) + ((long)(column / QuantizedLayout.BlockLength) * shape.BlockByteCount);
            return new MatrixView(
                name, shape.Type, data + (nint)offset, (nint)shape.TileByteCount, shape.RowCount, length, LeadLength: column % QuantizedLayout.BlockLength);
        }
    }
}
