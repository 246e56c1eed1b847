using System.Runtime.InteropServices;
using Distributed.Engine.Kernels;

namespace Distributed.Engine.Checkpoints;

/// <summary>
/// A stored matrix as the bytes of its quantised form. Any piece can be asked for; its tiles are quantised on all processors, each with the memory of one
/// tile.
/// </summary>
/// <param name="source">The matrix as it is, in float32, bfloat16 or float16.</param>
/// <param name="shape">What is made of it.</param>
/// <param name="rowOf">The source's row for a row; <see langword="null"/> for the same.</param>
internal sealed unsafe class QuantizedPart(StoredTensor source, BlockShape shape, Func<int, int>? rowOf)
{
    private readonly TensorPart _rows = new(source, TensorType.Float32, (0, shape.RowCount), (0, shape.ColumnCount), rowOf);

    /// <summary>Writes a piece of the bytes.</summary>
    /// <param name="offset">Of the piece's first byte.</param>
    /// <param name="destination">The piece.</param>
    public void Fill(long offset, Span<byte> destination)
    {
        var (end, tileByteCount) = (offset + destination.Length, shape.TileByteCount);
        fixed (byte* data = destination)
        {
            var target = (nint)data;
            System.Threading.Tasks.Parallel.For(
                offset / tileByteCount,
                (end + tileByteCount - 1) / tileByteCount,
                () => (Values: new float[shape.ColumnCount], Tile: new byte[tileByteCount]),
                (tile, _, memory) =>
                {
                    Quantize((int)tile, memory.Values, memory.Tile);
                    var first = Math.Max(offset, tile * tileByteCount);
                    var last = Math.Min(end, (tile + 1) * tileByteCount);
                    memory.Tile.AsSpan((int)(first - (tile * tileByteCount)), (int)(last - first))
                        .CopyTo(new Span<byte>((byte*)target + (first - offset), (int)(last - first)));
                    return memory;
                },
                _ => { });
        }
    }

    private void Quantize(int number, float[] values, byte[] bytes)
    {
        bytes.AsSpan().Clear();
        var first = number * QuantizedLayout.TileRowCount;
        fixed (byte* tile = bytes)
        {
            for (var row = first; row < Math.Min(first + QuantizedLayout.TileRowCount, shape.RowCount); row++)
            {
                _rows.Fill((long)row * shape.ColumnCount * sizeof(float), MemoryMarshal.AsBytes(values.AsSpan()));
                if (shape.Type == TensorType.Int8)
                {
                    TileQuantizer.Store<Int8Format>(values, shape.GroupLength, row - first, tile);
                }
                else
                {
                    TileQuantizer.Store<Int4Format>(values, shape.GroupLength, row - first, tile);
                }
            }
        }
    }
}
