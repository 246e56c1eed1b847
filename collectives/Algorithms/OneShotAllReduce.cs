using Distributed.Collectives.Transports;

namespace Distributed.Collectives.Algorithms;

/// <summary>
/// Every rank sends its values to all others and reduces what it has got: one step, (P - 1) x length sent by each of P ranks. The choice
/// for the short messages of a decode step, where the number of steps counts and not the bytes, and between two ranks always.
/// </summary>
internal static class OneShotAllReduce
{
    /// <summary>Reduces [element] over all ranks, in place.</summary>
    public static void Run(PeerMesh mesh, ReductionTree tree, Span<byte> values, Reduction reduction)
    {
        var outgoing = new OutgoingMessage(mesh, values);
        for (var index = 0; index < outgoing.Segments.Count; index++)
        {
            outgoing.SendAheadOf(index);
            var (offset, length) = outgoing.Segments[index];
            var segment = values.Slice(offset, length);
            tree.Reduce(segment, values.Length, reduction, segment);
        }
    }
}
