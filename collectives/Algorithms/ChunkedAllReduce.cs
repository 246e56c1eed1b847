using Distributed.Collectives.Transports;

namespace Distributed.Collectives.Algorithms;

/// <summary>
/// The values are cut into a <em>chunk</em> for each rank, its owner. Every rank sends each chunk to its owner, who reduces it in the
/// order of the tree, and then its own result to all: two steps, 2 (P - 1) / P x length sent by each of P ranks. The choice for long
/// messages between more than two ranks. A ring would send as little in 2 (P - 1) steps, but in another order for every chunk.
/// </summary>
internal static class ChunkedAllReduce
{
    /// <summary>From this length on it is the faster one, with more than two ranks.</summary>
    public const int MinByteCount = 128 << 10;

    // A cache line, and a multiple of every element size.
    private const int Alignment = 64;

    /// <summary>Reduces [element] over all ranks, in place.</summary>
    public static void Run(PeerMesh mesh, ReductionTree tree, Span<byte> values, Reduction reduction)
    {
        var chunkByteCount = ((values.Length - 1) / mesh.WorldSize / Alignment * Alignment) + Alignment;
        var chunks = new MessageParts(values.Length, chunkByteCount);
        var (offset, length) = chunks[mesh.Rank];
        DirectReduceScatter.Run(mesh, tree, values, chunks, reduction, values.Slice(offset, length));
        DirectAllGather.Run(mesh, values, chunks);
    }
}
