using Distributed.Collectives.Transports;

namespace Distributed.Collectives.Algorithms;

/// <summary>Every rank sends each other one its part, and reduces its own in the order of the tree: one step, (P - 1) x part sent by each of P ranks.</summary>
internal static class DirectReduceScatter
{
    /// <summary>Reduces this rank's part of [rank, element] over all ranks.</summary>
    /// <param name="mesh">The ranks.</param>
    /// <param name="tree">Of the same mesh.</param>
    /// <param name="all">[rank, element]</param>
    /// <param name="parts">The cut of <paramref name="all"/>.</param>
    /// <param name="reduction">What is done.</param>
    /// <param name="result">[element]; may be this rank's part of <paramref name="all"/>.</param>
    public static void Run(PeerMesh mesh, ReductionTree tree, ReadOnlySpan<byte> all, MessageParts parts, Reduction reduction, Span<byte> result)
    {
        var (start, partByteCount) = parts[mesh.Rank];
        var own = new MessageSegments(partByteCount);
        var outgoing = new OutgoingParts(mesh, all, parts);
        for (var index = 0; index < parts.SegmentCount; index++)
        {
            outgoing.SendAheadOf(index);
            if (index < own.Count)
            {
                var (offset, length) = own[index];
                tree.Reduce(all.Slice(start + offset, length), partByteCount, reduction, result.Slice(offset, length));
            }
        }
    }
}
