namespace Distributed.Engine.Kernels;

/// <summary>Rows of weights as the tiles of <see cref="QuantizedLayout"/>, while a model loads and while a checkpoint is converted.</summary>
internal static unsafe class TileQuantizer
{
    /// <summary>Quantises one row into its places of a tile, whose bytes are zero before: what no element fills keeps a scale of zero.</summary>
    /// <param name="values">[group, element] of the row.</param>
    /// <param name="groupLength">Elements of a group; the last block of each is padded with zeros.</param>
    /// <param name="row">The row in the tile, 0 to 7.</param>
    /// <param name="tile">[group, block], see <see cref="QuantizedLayout"/>.</param>
    public static void Store<TFormat>(ReadOnlySpan<float> values, int groupLength, int row, byte* tile)
        where TFormat : struct, IQuantizedFormat
    {
        Span<float> padded = stackalloc float[QuantizedLayout.BlockLength];
        for (; !values.IsEmpty; values = values[groupLength..])
        {
            var rest = values[..groupLength];
            while (!rest.IsEmpty)
            {
                var length = Math.Min(rest.Length, QuantizedLayout.BlockLength);
                rest[..length].CopyTo(padded);
                padded[length..].Clear();
                TFormat.Store(padded, row, tile);
                tile += QuantizedLayout.ScalesByteCount + TFormat.BlockByteCount;
                rest = rest[length..];
            }
        }
    }
}
