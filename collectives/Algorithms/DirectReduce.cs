using Distributed.Collectives.Transports;

namespace Distributed.Collectives.Algorithms;

/// <summary>Every rank sends its values to the root, which reduces them in the order of the tree: one step, length sent by each, (P - 1) x length received.</summary>
internal static class DirectReduce
{
    /// <summary>Reduces [element] over all ranks, in place on the root.</summary>
    public static void Run(PeerMesh mesh, ReductionTree tree, Span<byte> values, Reduction reduction, int root)
    {
        if (mesh.Rank != root)
        {
            PointToPoint.Send(mesh[root], values);
            return;
        }

        var segments = new MessageSegments(values.Length);
        for (var index = 0; index < segments.Count; index++)
        {
            var (offset, length) = segments[index];
            var segment = values.Slice(offset, length);
            tree.Reduce(segment, values.Length, reduction, segment);
        }
    }
}
