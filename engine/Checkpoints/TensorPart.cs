using System.Runtime.InteropServices;
using Distributed.Engine.Kernels;

namespace Distributed.Engine.Checkpoints;

/// <summary>
/// A rectangle of a stored tensor as the bytes of a new one: rows may come in another order and elements in another type. A vector is a
/// matrix of one row. Any piece can be asked for, so a tensor of any size is written with one small buffer.
/// </summary>
/// <param name="tensor">The source.</param>
/// <param name="type">Of the elements that are written.</param>
/// <param name="rows">The first row and their number.</param>
/// <param name="columns">The first column and their number.</param>
/// <param name="rowOf">The source's row for a row of the whole tensor; <see langword="null"/> for the same.</param>
internal sealed unsafe class TensorPart(
    StoredTensor tensor, TensorType type, (int Start, int Count) rows, (int Start, int Count) columns, Func<int, int>? rowOf = null)
{
    private const int ChunkLength = 4096;

    private readonly int _sourceSize = StorageType.Of(tensor.Type).ItemByteCount;
    private readonly int _size = StorageType.Of(type).ItemByteCount;

    /// <summary>Bytes of the whole part.</summary>
    public long ByteCount => (long)rows.Count * columns.Count * _size;

    /// <summary>Writes a piece of the part's bytes.</summary>
    /// <param name="offset">Of the piece's first byte, a multiple of the element's size.</param>
    /// <param name="destination">Of whole elements.</param>
    public void Fill(long offset, Span<byte> destination)
    {
        var element = offset / _size;
        while (!destination.IsEmpty)
        {
            var row = rows.Start + (int)(element / columns.Count);
            var column = (int)(element % columns.Count);
            var count = Math.Min(columns.Count - column, destination.Length / _size);
            FillRow(rowOf?.Invoke(row) ?? row, columns.Start + column, destination[..(count * _size)]);
            destination = destination[(count * _size)..];
            element += count;
        }
    }

    // Elements of one row, which several files may hold.
    private void FillRow(int row, int column, Span<byte> destination)
    {
        var isVector = tensor.Shape.Length == 1;
        while (!destination.IsEmpty)
        {
            var splitsColumns = tensor.Split == TensorSplit.Columns || isVector;
            var partShape = tensor.Parts[0].Shape;
            var (partRows, partColumns) = isVector ? (1, (int)partShape[0]) : ((int)partShape[0], (int)partShape[1]);
            var part = tensor.Parts.Length == 1 ? 0 : splitsColumns ? column / partColumns : row / partRows;
            var (localRow, localColumn) = splitsColumns ? (row, column - (part * partColumns)) : (row - (part * partRows), column);
            var count = Math.Min(partColumns - localColumn, destination.Length / _size);
            var source = tensor.Parts[part].Data + ((((nint)localRow * partColumns) + localColumn) * _sourceSize);
            Convert(source, destination[..(count * _size)]);
            destination = destination[(count * _size)..];
            column += count;
        }
    }

    private void Convert(nint source, Span<byte> destination)
    {
        if (tensor.Type == type)
        {
            new ReadOnlySpan<byte>((void*)source, destination.Length).CopyTo(destination);
            return;
        }

        Span<float> values = stackalloc float[ChunkLength];
        while (!destination.IsEmpty)
        {
            var chunk = values[..Math.Min(ChunkLength, destination.Length / _size)];
            TensorElements.Widen(tensor.Type, source, chunk);
            Narrow(chunk, destination);
            destination = destination[(chunk.Length * _size)..];
            source += chunk.Length * _sourceSize;
        }
    }

    // To the nearest, ties to even.
    private void Narrow(ReadOnlySpan<float> values, Span<byte> destination)
    {
        switch (type)
        {
            case TensorType.Float32:
                MemoryMarshal.AsBytes(values).CopyTo(destination);
                break;
            case TensorType.Float16:
                var halves = MemoryMarshal.Cast<byte, Half>(destination);
                for (var i = 0; i < values.Length; i++)
                {
                    halves[i] = (Half)values[i];
                }

                break;
            default:
                var words = MemoryMarshal.Cast<byte, ushort>(destination);
                for (var i = 0; i < values.Length; i++)
                {
                    words[i] = FloatBits.ToBFloat16(values[i]);
                }

                break;
        }
    }
}
