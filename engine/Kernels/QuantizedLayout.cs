namespace Distributed.Engine.Kernels;

/// <summary>How block-quantised weights and the activations that meet them lie in memory.</summary>
/// <remarks>
/// <para>A <em>block</em> is 32 consecutive elements of a row within one canonical group, with one scale: w = scale x q. The last block of a
/// group is padded with zeros. Eight rows lie interleaved as a <em>tile</em>, block after block, so that a vector of 32 bytes holds four consecutive
/// elements of each of eight rows, which an integer dot product sums into eight lanes without any shuffle: 8 scales as bfloat16, then</para>
/// <list type="bullet">
/// <item>int8: 8 x 32 bytes; byte 4r + j of vector i is q[r, 4i + j], from -127 to 127.</item>
/// <item>int4: 4 x 32 bytes; byte 4r + j of vector i holds q[r, 4i + j] + 8 in its low half and q[r, 16 + 4i + j] + 8 in its high half.</item>
/// </list>
/// <para>Activations are quantised to 8 bits by the same blocks: 32 signed bytes, their scale as float32, and minus the sum of the 32 numbers as
/// int32, which corrects for offsets of unsigned operands. (The blocks are those of ggml's Q8_0 and Q4_0,
/// https://github.com/ggml-org/ggml; the interleaving is that of its repacked 8-row kernels.)</para>
/// </remarks>
internal static class QuantizedLayout
{
    /// <summary>Elements of a block.</summary>
    public const int BlockLength = 32;

    /// <summary>Rows of a tile.</summary>
    public const int TileRowCount = 8;

    /// <summary>Bytes of a vector of a tile: four elements of each row, or four pairs.</summary>
    public const int VectorByteCount = 4 * TileRowCount;

    /// <summary>Bytes of a tile's scales for one block.</summary>
    public const int ScalesByteCount = TileRowCount * sizeof(ushort);

    /// <summary>Where an activation block's scale lies.</summary>
    public const int ActivationScaleOffset = BlockLength;

    /// <summary>Where minus an activation block's sum lies.</summary>
    public const int ActivationSumOffset = BlockLength + sizeof(float);

    /// <summary>Bytes of an activation block.</summary>
    public const int ActivationByteCount = BlockLength + sizeof(float) + sizeof(int);

    /// <summary>Floats in which an activation block lies.</summary>
    public const int ActivationFloatCount = ActivationByteCount / sizeof(float);

    /// <summary>Tiles in which so many rows lie.</summary>
    public static int TileCount(int rowCount) => (rowCount + TileRowCount - 1) / TileRowCount;

    /// <summary>Blocks of a group.</summary>
    public static int BlockCount(int groupLength) => (groupLength + BlockLength - 1) / BlockLength;
}
