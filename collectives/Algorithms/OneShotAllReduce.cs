using System.Runtime.InteropServices;
using Distributed.Collectives.Transports;

namespace Distributed.Collectives.Algorithms;

/// <summary>
/// Every rank sends its values to all others and sums what it has got: one step, (P - 1) x length sent by each of P ranks. The choice for
/// the short messages of a decode step, where the number of steps counts and not the bytes.
/// <para>
/// The sum is a binary <em>tree</em> over the ranks in their order: neighbours are added, then neighbouring sums, and an incomplete last
/// subtree is carried up as it is. A tree of <c>count</c> ranks is therefore the tree of its first <c>half</c> ranks, the largest power of
/// two below <c>count</c>, plus the tree of the rest. Its <em>leaves</em> are the ranks' values, this rank's own among them. All ranks walk
/// the same tree with the same code, so all end with the same bits; and a world of one that sums its groups by this tree has them too.
/// </para>
/// </summary>
internal sealed class OneShotAllReduce(PeerMesh mesh)
{
    // [2 x depth + side, byte]: the sums of inner nodes below the root, made when first needed. The root's sum goes to the caller.
    private readonly List<byte[]> _sums = [];

    /// <summary>Sums [element] over all ranks, in place.</summary>
    public void Run(Span<float> values)
    {
        var message = MemoryMarshal.AsBytes(values);
        var outgoing = new OutgoingMessage(mesh, message);
        for (var index = 0; index < outgoing.Segments.Count; index++)
        {
            outgoing.SendAheadOf(index);
            var (offset, length) = outgoing.Segments[index];
            var own = MemoryMarshal.Cast<byte, float>(message.Slice(offset, length));
            _ = Sum(firstRank: 0, mesh.WorldSize, depth: 0, own, message.Length, sum: own);
            mesh.ReleaseAll();
        }
    }

    // Returns the sum of one segment over the ranks from firstRank on. It lies in `sum`, or, for a leaf, where it was received. Leaves are
    // visited in rank order, and `own` is overwritten at the root, after its leaf has been added.
    private ReadOnlySpan<float> Sum(int firstRank, int count, int depth, ReadOnlySpan<float> own, int messageByteCount, Span<float> sum)
    {
        if (count == 1)
        {
            return firstRank == mesh.Rank
                ? own
                : MemoryMarshal.Cast<byte, float>(mesh[firstRank].Borrow(own.Length * sizeof(float), messageByteCount));
        }

        var half = (int)(System.Numerics.BitOperations.RoundUpToPowerOf2((uint)count) / 2);
        var left = Sum(firstRank, half, depth + 1, own, messageByteCount, Scratch(depth, side: 0, own.Length));
        var right = Sum(firstRank + half, count - half, depth + 1, own, messageByteCount, Scratch(depth, side: 1, own.Length));
        VectorSum.Add(left, right, sum);
        return sum;
    }

    private Span<float> Scratch(int depth, int side, int length)
    {
        var index = (2 * depth) + side;
        while (_sums.Count <= index)
        {
            _sums.Add(new byte[MessageSegments.ByteCount]);
        }

        return MemoryMarshal.Cast<byte, float>(_sums[index].AsSpan())[..length];
    }
}
