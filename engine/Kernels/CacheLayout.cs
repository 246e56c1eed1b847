namespace Distributed.Engine.Kernels;

/// <summary>What keys and values are kept as.</summary>
public enum CacheFormat
{
    /// <summary>float32, as they are computed.</summary>
    Float32,

    /// <summary>bfloat16, rounded to the nearest: half the memory.</summary>
    BFloat16,

    /// <summary>8 bits with one scale a position and head: about a quarter of the memory.</summary>
    Int8,
}

/// <summary>
/// How the keys, or the values, of one head lie in a block of the cache: [position, padded element], and behind them, where the format has scales, [position] in
/// float32.
/// </summary>
/// <param name="Format">The format.</param>
/// <param name="HeadDimension">Width of a head.</param>
internal readonly record struct CacheLayout(CacheFormat Format, int HeadDimension)
{
    /// <summary>Positions of a block: those of the blocks in which attention is defined.</summary>
    public const int BlockLength = AttentionKernel.BlockLength;

    /// <summary>Width of a head, rounded up to whole lanes.</summary>
    public int PaddedDimension => (HeadDimension + 15) & ~15;

    /// <summary>Bytes from a position to the next.</summary>
    public int RowByteCount => PaddedDimension * ElementSize;

    /// <summary>Bytes of a head's part of a block.</summary>
    public int HeadByteCount => BlockLength * (RowByteCount + (HasScales ? sizeof(float) : 0));

    private bool HasScales => Format == CacheFormat.Int8;

    private int ElementSize => Format switch
    {
        CacheFormat.Float32 => sizeof(float),
        CacheFormat.BFloat16 => sizeof(ushort),
        _ => sizeof(sbyte),
    };

    /// <summary>Puts a vector into its place.</summary>
    /// <param name="source">[HeadDimension]</param>
    /// <param name="head">The head's part of the block.</param>
    /// <param name="position">In the block.</param>
    public unsafe void Store(float* source, byte* head, int position)
    {
        var row = head + ((nint)position * RowByteCount);
        switch (Format)
        {
            case CacheFormat.Float32:
                Float32Cache.Store(source, HeadDimension, row, null);
                break;
            case CacheFormat.BFloat16:
                BFloat16Cache.Store(source, HeadDimension, row, null);
                break;
            default:
                Int8Cache.Store(source, HeadDimension, row, (float*)(head + ((nint)BlockLength * RowByteCount)) + position);
                break;
        }
    }
}
