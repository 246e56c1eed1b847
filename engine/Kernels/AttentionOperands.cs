namespace Distributed.Engine.Kernels;

/// <summary>One token and the query heads that share one key-value head.</summary>
internal unsafe struct AttentionOperands
{
    /// <summary>[head, padded dimension], zero beyond the head's own width.</summary>
    public float* Queries;

    /// <summary>The head's part of block 0, as <see cref="Cache"/> says; that of block n is n times <see cref="BlockByteCount"/> behind it.</summary>
    public byte* Keys;

    /// <inheritdoc cref="Keys"/>
    public byte* Values;

    /// <summary>The blocks that hold the sequence: [position / <see cref="AttentionKernel.BlockLength"/>].</summary>
    public int* Blocks;

    /// <summary>Bytes from a block to the next.</summary>
    public nint BlockByteCount;

    /// <summary>How keys and values lie in a block.</summary>
    public CacheLayout Cache;

    /// <summary>[head, HeadDimension]</summary>
    public float* Output;

    /// <summary>[<see cref="AttentionKernel.ScratchLength"/>], for this call alone.</summary>
    public float* Scratch;

    /// <summary>Query heads.</summary>
    public int HeadCount;

    /// <summary>Width of a head.</summary>
    public int HeadDimension;

    /// <summary>The first position to attend to: 0, or where the token's window begins.</summary>
    public int FirstPosition;

    /// <summary>The end of the positions to attend to, behind the token's own; at least 1.</summary>
    public int PositionCount;

    /// <summary>Whether keys and values are asked for ahead of their use, as they are likely to be in no cache.</summary>
    public bool Prefetches;

    /// <summary>Multiplies the scores.</summary>
    public float Scale;
}
