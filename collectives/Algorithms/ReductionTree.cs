using System.Numerics;
using Distributed.Collectives.Transports;

namespace Distributed.Collectives.Algorithms;

/// <summary>
/// Reduces one segment over all ranks: this rank's own and the next of every peer.
/// <para>
/// The order is a binary <em>tree</em> over the ranks in theirs: neighbours are combined, then neighbouring results, and an incomplete
/// last subtree is carried up as it is. A tree of <c>count</c> ranks is therefore the tree of its first <c>half</c> ranks, the largest
/// power of two below <c>count</c>, combined with the tree of the rest. Its <em>leaves</em> are the ranks' segments, this rank's own among
/// them; a peer's is read where it has arrived. Whoever walks the tree does so with the same code over the same leaves, so all ranks have
/// the same bits, and so does a world of one that sums its groups by this tree.
/// </para>
/// </summary>
internal sealed class ReductionTree(PeerMesh mesh)
{
    // [2 x depth + side, byte]: the results of inner nodes below the root, made when first needed. The root's goes to the caller.
    private readonly List<byte[]> _results = [];

    /// <summary>Receives a segment of every peer and reduces them with this rank's.</summary>
    /// <param name="own">[byte], at most <see cref="MessageSegments.ByteCount"/>.</param>
    /// <param name="messageByteCount">The length of the message that the segments are of.</param>
    /// <param name="reduction">What is done.</param>
    /// <param name="result">[byte]; may be <paramref name="own"/>.</param>
    public void Reduce(ReadOnlySpan<byte> own, long messageByteCount, Reduction reduction, Span<byte> result)
    {
        var last = Node(firstRank: 0, mesh.WorldSize, depth: 0, own, messageByteCount, reduction, result);
        if (mesh.WorldSize == 1)
        {
            last.CopyTo(result);
        }

        mesh.ReleaseAll();
    }

    /// <summary>The number of ranks in the left one of the two trees that a tree of more than one rank consists of.</summary>
    public static int FirstHalf(int count) => (int)(BitOperations.RoundUpToPowerOf2((uint)count) / 2);

    /// <summary>Receives a segment of every peer of a subtree and reduces them, with this rank's where it is one of them.</summary>
    /// <param name="firstRank">The lowest rank of the subtree.</param>
    /// <param name="count">The number of its ranks.</param>
    /// <param name="own">[byte], as in <see cref="Reduce"/>.</param>
    /// <param name="messageByteCount">The length of the message that the segments are of.</param>
    /// <param name="reduction">What is done.</param>
    /// <param name="result">[byte]; not <paramref name="own"/>, which others may need.</param>
    public void ReduceUnit(int firstRank, int count, ReadOnlySpan<byte> own, long messageByteCount, Reduction reduction, Span<byte> result)
    {
        var last = Node(firstRank, count, depth: 0, own, messageByteCount, reduction, result);
        if (count == 1)
        {
            last.CopyTo(result);
        }

        for (var rank = firstRank; rank < firstRank + count; rank++)
        {
            if (rank != mesh.Rank)
            {
                mesh[rank].Release();
            }
        }
    }

    // Returns the result over the ranks from firstRank on. It lies in `result`, or, for a leaf, where it was received. Leaves are visited
    // in rank order, and `own` is overwritten at the root, after its leaf has been combined.
    private ReadOnlySpan<byte> Node(
        int firstRank, int count, int depth, ReadOnlySpan<byte> own, long messageByteCount, Reduction reduction, Span<byte> result)
    {
        if (count == 1)
        {
            return firstRank == mesh.Rank ? own : mesh[firstRank].Borrow(own.Length, messageByteCount);
        }

        var half = FirstHalf(count);
        var left = Node(firstRank, half, depth + 1, own, messageByteCount, reduction, Scratch(depth, side: 0, own.Length));
        var right = Node(firstRank + half, count - half, depth + 1, own, messageByteCount, reduction, Scratch(depth, side: 1, own.Length));
        reduction.Combine(left, right, result);
        return result;
    }

    private Span<byte> Scratch(int depth, int side, int length)
    {
        var index = (2 * depth) + side;
        while (_results.Count <= index)
        {
            _results.Add(new byte[MessageSegments.ByteCount]);
        }

        return _results[index].AsSpan(0, length);
    }
}
